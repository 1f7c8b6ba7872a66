//! The log of events over HTTP: listed, and followed as server-sent events.

use std::collections::VecDeque;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use outrigger_api::{ApiError, ApiResult, Code, EventInfo, EventQuery, EventStream, Events, FollowQuery};
use reqwest::{Method, Response};

use crate::Client;
use crate::http::Problem;
use crate::records::MOST;

/// A server says that it is there more often than this.
const SILENCE: Duration = Duration::from_secs(60);
/// No event is longer: its payload is at most 256 KiB, and six times as long if all of its characters are escaped.
const LONGEST: usize = 2 << 20;

#[async_trait]
impl Events for Client {
    async fn event_list(&self, query: &EventQuery) -> ApiResult<Vec<EventInfo>> {
        self.list("api/v1/events/log", &EventQuery { limit: query.limit.min(MOST), ..query.clone() }).await
    }

    async fn event_follow(&self, query: &FollowQuery) -> ApiResult<EventStream> {
        let request = self.request(Method::GET, "api/v1/events")?.query(query);
        let response = self.send(request).await?;
        let course = Course { client: self.clone(), response, reader: Reader::default(), ready: VecDeque::new() };
        let stream = futures::stream::try_unfold(Some(course), |course| async move {
            let Some(mut course) = course else { return Ok(None) };
            let next = course.next().await?;
            Ok::<_, ApiError>(next.map(|event| (event, Some(course))))
        });
        Ok(stream.boxed())
    }
}

/// A stream under way.
struct Course {
    client: Client,
    response: Response,
    reader: Reader,
    ready: VecDeque<Block>,
}

impl Course {
    async fn next(&mut self) -> ApiResult<Option<EventInfo>> {
        loop {
            match self.ready.pop_front() {
                Some(Block { problem: false, data }) => return serde_json::from_str(&data).map(Some).map_err(unknown),
                Some(Block { problem: true, data }) => {
                    let problem: Problem = serde_json::from_str(&data).map_err(unknown)?;
                    return Err(problem.into());
                }
                None => {}
            }
            let silent = |_| ApiError::new(Code::Unreachable, "the server sent nothing for a minute");
            let chunk = tokio::time::timeout(SILENCE, self.response.chunk()).await.map_err(silent)?;
            let Some(chunk) = chunk.map_err(|error| self.client.unreachable(&error))? else { return Ok(None) };
            self.ready.extend(self.reader.feed(&chunk)?);
        }
    }
}

fn unknown(error: serde_json::Error) -> ApiError {
    let message = format!("the server sent an event in an unknown format: {error}");
    ApiError::new(Code::Internal, message).with_hint("use the same version of Outrigger on both sides")
}

/// One block of server-sent events that has data.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    /// It says why there is no more.
    problem: bool,
    data: String,
}

/// Puts blocks together from pieces that are cut anywhere.
#[derive(Debug, Default)]
struct Reader {
    /// The line that has not ended yet.
    line: Vec<u8>,
    problem: bool,
    data: String,
}

impl Reader {
    fn feed(&mut self, bytes: &[u8]) -> ApiResult<Vec<Block>> {
        let mut blocks = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' => blocks.extend(self.end_of_line()),
                b'\r' => {}
                byte => self.line.push(*byte),
            }
        }
        if self.line.len() + self.data.len() > LONGEST {
            return Err(ApiError::new(Code::Internal, "the server sent an event that is too long"));
        }
        Ok(blocks)
    }

    fn end_of_line(&mut self) -> Option<Block> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        if line.is_empty() {
            let (problem, data) = (std::mem::take(&mut self.problem), std::mem::take(&mut self.data));
            return (!data.is_empty()).then_some(Block { problem, data });
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.problem = value == "problem",
            "data" if self.data.is_empty() => value.clone_into(&mut self.data),
            "data" => {
                self.data.push('\n');
                self.data.push_str(value);
            }
            // Comments, ids (which the data has too) and what is not known.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_put_together_wherever_they_are_cut() {
        let text = ": hello\n\nid: 1\ndata: {\"a\":\ndata:  \"é\"}\n\n: alive\r\n\r\nevent: problem\r\ndata: x\r\n\r\ndata: lost";
        let block = |problem: bool, data: &str| Block { problem, data: data.to_owned() };
        let expected = [block(false, "{\"a\":\n \"é\"}"), block(true, "x")];
        for length in 1..text.len() {
            let mut reader = Reader::default();
            let mut found = Vec::new();
            for piece in text.as_bytes().chunks(length) {
                found.extend(reader.feed(piece).expect("it is short"));
            }
            assert_eq!(found, expected, "in pieces of {length}");
        }
        assert!(Reader::default().feed(&vec![b'x'; LONGEST + 1]).is_err());
    }

    #[test]
    fn s17_an_event_whose_payload_is_escaped_does_not_end_the_stream() {
        let payload = "\u{7f}".repeat(256 << 10);
        let data = outrigger_api::text::json(&format!("{{\"payload\":\"{payload}\"}}")).into_owned();
        let blocks = Reader::default().feed(format!("data: {data}\n\n").as_bytes()).expect("it is read");
        assert_eq!(blocks, [Block { problem: false, data }]);
    }
}
