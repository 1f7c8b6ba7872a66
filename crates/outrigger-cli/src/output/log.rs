//! The program's log: standard error, each event on one line. Clients and plugins cause many of the events, so each log
//! statement writes a limited number of lines per minute. Suppressed lines are counted, and the count is written with
//! the next line. Debug output (`-v`) is never suppressed.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::callsite::Identifier;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::safe::log_line;

/// Maximum number of lines of one log statement per minute. A line of more than 1 KiB counts as several.
const MOST_LINES: u64 = 120;
const MINUTE: Duration = Duration::from_mins(1);
const UNIT: u64 = 1 << 10;

/// The destination of the log.
#[derive(Debug, Default)]
pub struct Log {
    places: Mutex<HashMap<Identifier, Place>>,
}

/// The lines that one log statement has written in this minute.
#[derive(Debug)]
struct Place {
    since: Instant,
    lines: u64,
    left_out: u64,
}

impl Place {
    /// Takes one line from the limit. Returns how many lines were suppressed before it, or none if it is suppressed
    /// too.
    fn line(&mut self, now: Instant) -> Option<u64> {
        if now.saturating_duration_since(self.since) >= MINUTE {
            (self.since, self.lines) = (now, 0);
        }
        if self.lines >= MOST_LINES {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { log: self, place: None, left_out: Some(0) }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Line<'a> {
        if *event.level() > Level::INFO {
            return self.make_writer();
        }
        let (place, now) = (event.callsite(), Instant::now());
        let new = || Place { since: now, lines: 0, left_out: 0 };
        let left_out = self.places.lock().entry(place.clone()).or_insert_with(new).line(now);
        Line { log: self, place: Some(place), left_out }
    }
}

/// One event of the log.
#[derive(Debug)]
pub struct Line<'a> {
    log: &'a Log,
    place: Option<Identifier>,
    /// The number of lines suppressed before it; none if it is suppressed too.
    left_out: Option<u64>,
}

impl Line<'_> {
    /// The text to write for an event; none if it is suppressed.
    fn text(&self, event: &[u8]) -> Option<String> {
        let left_out = self.left_out?;
        let line = log_line(&String::from_utf8_lossy(event));
        if let Some(place) = &self.place
            && let Some(place) = self.log.places.lock().get_mut(place)
        {
            place.lines += line.len() as u64 / UNIT;
        }
        Some(match left_out {
            0 => line,
            _ => format!("WARN {left_out} lines like the next one were suppressed\n{line}"),
        })
    }
}

impl Write for Line<'_> {
    /// Receives one event per call.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        if let Some(text) = self.text(event) {
            anstream::stderr().write_all(text.as_bytes())?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        anstream::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s17_a_place_in_the_program_says_so_much_a_minute_and_how_much_it_left_out() {
        let start = Instant::now();
        let mut place = Place { since: start, lines: 0, left_out: 0 };
        let said = (0..10_000).filter_map(|_| place.line(start)).count();
        assert_eq!(said as u64, MOST_LINES);
        assert_eq!(place.line(start + MINUTE), Some(10_000 - MOST_LINES));
        assert_eq!(place.line(start + MINUTE), Some(0));
    }

    #[test]
    fn s17_lines_for_each_request_do_not_fill_the_log() {
        #[derive(Clone, Default)]
        struct Sink(std::sync::Arc<Log>, std::sync::Arc<Mutex<Vec<u8>>>);

        struct Tee<'a>(Line<'a>, &'a Mutex<Vec<u8>>);

        impl Write for Tee<'_> {
            fn write(&mut self, event: &[u8]) -> io::Result<usize> {
                self.1.lock().extend(self.0.text(event).unwrap_or_default().into_bytes());
                Ok(event.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        impl<'a> MakeWriter<'a> for Sink {
            type Writer = Tee<'a>;

            fn make_writer(&'a self) -> Tee<'a> {
                Tee((*self.0).make_writer(), &self.1)
            }

            fn make_writer_for(&'a self, event: &Metadata<'_>) -> Tee<'a> {
                Tee((*self.0).make_writer_for(event), &self.1)
            }
        }

        let sink = Sink::default();
        let written = std::sync::Arc::clone(&sink.1);
        let subscriber = tracing_subscriber::fmt().with_max_level(Level::DEBUG).with_writer(sink).finish();
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..5_000 {
                tracing::warn!(number, "a request failed");
                tracing::warn!(text = "x".repeat(16 << 10), "and said much");
            }
            tracing::error!("another place");
            (0..200).for_each(|number| tracing::debug!(number, "asked for"));
        });
        let said = String::from_utf8(written.lock().clone()).expect("it is text");
        assert_eq!(said.lines().filter(|line| line.contains("a request failed")).count() as u64, MOST_LINES);
        assert!(said.len() < 400 << 10, "{} bytes", said.len());
        assert!(said.contains("another place"));
        assert_eq!(said.lines().filter(|line| line.contains("asked for")).count(), 200);
    }
}
