//! Runs and log lines: as many as are asked for, though a server answers with so many at once and no more.

use outrigger_api::{ApiResult, RecordQuery};
use time::{Duration, OffsetDateTime};

/// The most records that a server answers with at once.
pub(crate) const MOST: u32 = 1_000;
/// How many records a query means that names no limit.
const USUAL: u32 = 100;

/// The newest records of a query, the oldest first. They are asked for page by page, each reaching back from the moment at
/// which the last one began. Of more than [`MOST`] records of one moment, some are passed over.
pub(crate) async fn newest<T, Answer>(
    query: &RecordQuery,
    at: impl Fn(&T) -> OffsetDateTime + Send + Sync,
    ask: impl Fn(RecordQuery) -> Answer + Send + Sync,
) -> ApiResult<Vec<T>>
where
    T: Send,
    Answer: Future<Output = ApiResult<Vec<T>>> + Send,
{
    let wanted = if query.limit == 0 { USUAL } else { query.limit } as usize;
    let mut query = query.clone();
    // The newest first.
    let mut found: Vec<T> = Vec::new();
    // Of the moment at which the last page began, so many are known already.
    let mut known = 0;
    loop {
        let limit = (wanted - found.len() + known).min(MOST as usize);
        query.limit = u32::try_from(limit).unwrap_or(MOST);
        let page = ask(query.clone()).await?;
        let is_last = page.len() < limit;
        found.extend(page.into_iter().rev().skip(known));
        let oldest = match found.last() {
            Some(oldest) if !is_last && found.len() < wanted => at(oldest),
            _ => break,
        };
        known = found.iter().rev().take_while(|record| at(record) == oldest).count();
        query.until = Some(oldest + Duration::NANOSECOND);
        if known >= MOST as usize {
            (known, query.until) = (0, Some(oldest));
        }
    }
    found.reverse();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Record = (OffsetDateTime, usize);

    /// Records at these moments, in this order.
    fn records(moments: impl IntoIterator<Item = i64>) -> Vec<Record> {
        let moment = |second| OffsetDateTime::UNIX_EPOCH + Duration::seconds(second);
        moments.into_iter().enumerate().map(|(number, second)| (moment(second), number)).collect()
    }

    /// As a server does it.
    fn answer(all: &[Record], query: &RecordQuery) -> Vec<Record> {
        assert!((1..=MOST).contains(&query.limit), "{}", query.limit);
        let within = |at: OffsetDateTime| {
            query.until.is_none_or(|until| at < until) && query.since.is_none_or(|since| at >= since)
        };
        let all: Vec<Record> = all.iter().filter(|(at, _)| within(*at)).copied().collect();
        all[all.len().saturating_sub(query.limit as usize)..].to_vec()
    }

    #[tokio::test]
    async fn as_many_as_are_asked_for_are_found_each_once() {
        let check = async |all: &[Record], limit: u32, expected: usize| {
            let query = RecordQuery { limit, ..RecordQuery::default() };
            let ask = |query| std::future::ready(Ok(answer(all, &query)));
            let found = newest(&query, |record: &Record| record.0, ask).await.expect("it lists");
            assert!(found == all[all.len() - expected..], "{limit} of {}: {}", all.len(), found.len());
        };
        let seconds = records(0..2_500);
        for (limit, expected) in [(0, 100), (1, 1), (1_000, 1_000), (1_001, 1_001), (2_500, 2_500), (u32::MAX, 2_500)] {
            check(&seconds, limit, expected).await;
        }
        check(&records(0..1_000), 5_000, 1_000).await;
        check(&[], 5_000, 0).await;
        // The page ends amid those of one moment.
        let in_bursts = records((0..3_000).map(|number| number / 7));
        for (limit, expected) in [(1_001, 1_001), (2_999, 2_999), (u32::MAX, 3_000)] {
            check(&in_bursts, limit, expected).await;
        }
    }

    #[tokio::test]
    async fn more_of_one_moment_than_there_can_be_told_do_not_keep_it_busy() {
        let all = records([vec![1; 5], vec![2; 1_500], vec![3; 5]].concat());
        let ask = |query: RecordQuery| std::future::ready(Ok(answer(&all, &query)));
        let query = RecordQuery { limit: 10_000, ..RecordQuery::default() };
        let found = newest(&query, |record: &Record| record.0, ask).await.expect("it lists");
        assert_eq!((found.len(), found[0], found[found.len() - 1]), (1_010, all[0], all[all.len() - 1]));
    }

    #[tokio::test]
    async fn what_began_earlier_is_not_asked_for() {
        let all = records(0..3_000);
        let since = Some(all[1_200].0);
        let ask = |query: RecordQuery| std::future::ready(Ok(answer(&all, &query)));
        let query = RecordQuery { since, limit: 10_000, ..RecordQuery::default() };
        let found = newest(&query, |record: &Record| record.0, ask).await.expect("it lists");
        assert!(found == all[1_200..], "{}", found.len());
    }
}
