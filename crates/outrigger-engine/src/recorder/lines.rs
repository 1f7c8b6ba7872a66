//! Counts the bytes of log lines in memory: those that are queued or being written, of each plugin and in total.

use std::collections::HashMap;

use outrigger_contract::PluginName;

use crate::store::LogRecord;

/// The limits for queued log lines, in bytes, of one plugin and of all plugins. Lines above them are dropped and
/// counted.
const LINES_OF_PLUGIN: usize = 4 << 20;
const LINES: usize = 32 << 20;

/// Bytes of log lines in memory.
#[derive(Debug, Default)]
pub(super) struct Lines {
    all: usize,
    plugins: HashMap<PluginName, usize>,
}

impl Lines {
    /// Counts a line, unless a limit is exceeded.
    pub(super) fn add(&mut self, line: &LogRecord) -> bool {
        let size = size(line);
        let own = self.plugins.get(&line.plugin).copied().unwrap_or_default();
        if self.all + size > LINES || own + size > LINES_OF_PLUGIN {
            return false;
        }
        self.count(&line.plugin, size);
        true
    }

    fn count(&mut self, plugin: &PluginName, size: usize) {
        self.all += size;
        match self.plugins.get_mut(plugin) {
            Some(own) => *own += size,
            None => drop(self.plugins.insert(plugin.clone(), size)),
        }
    }

    /// The log lines of a batch.
    pub(super) fn of(lines: &[LogRecord]) -> Self {
        let mut counted = Self::default();
        for line in lines {
            counted.count(&line.plugin, size(line));
        }
        counted
    }

    /// Releases lines that were written or dropped.
    pub(super) fn remove(&mut self, lines: Self) {
        self.all -= lines.all;
        for (plugin, size) in lines.plugins {
            let left = self.plugins.get(&plugin).map_or(0, |own| own.saturating_sub(size));
            match left {
                0 => drop(self.plugins.remove(&plugin)),
                left => drop(self.plugins.insert(plugin, left)),
            }
        }
    }
}

/// The size of a line in memory, in bytes.
fn size(line: &LogRecord) -> usize {
    let fields = line.fields.iter().map(|(name, value)| size_of::<(String, String)>() + name.len() + value.len());
    size_of::<LogRecord>() + line.message.len() + fields.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::correlation::CorrelationId;
    use crate::runtime::LogLevel;

    fn line(plugin: &str, bytes: usize) -> LogRecord {
        LogRecord {
            at: OffsetDateTime::UNIX_EPOCH,
            plugin: plugin.parse().expect("a name"),
            function: None,
            correlation: CorrelationId::new(),
            level: LogLevel::Info,
            message: String::new(),
            fields: vec![("field".to_owned(), "x".repeat(bytes))],
        }
    }

    #[test]
    fn s02_lines_that_wait_are_bounded_for_a_plugin_and_for_all() {
        let mut lines = Lines::default();
        let mut kept = Vec::new();
        let mut fill = |lines: &mut Lines, plugin: &str| {
            let before = kept.len();
            while lines.add(&line(plugin, 100_000)) {
                kept.push(line(plugin, 100_000));
                assert!(kept.len() < 1_000, "there is no bound");
            }
            kept.len() - before
        };
        let own = fill(&mut lines, "one");
        assert_eq!(own, LINES_OF_PLUGIN / size(&line("one", 100_000)), "as many as a plugin may");
        assert_eq!(fill(&mut lines, "two"), own, "another has its own room");
        for plugin in ["c", "d", "e", "f", "g", "h", "i"] {
            fill(&mut lines, plugin);
        }
        assert!(lines.all <= LINES && lines.all > LINES - LINES_OF_PLUGIN, "{}", lines.all);
        assert!(!lines.add(&line("z", LINES_OF_PLUGIN - 1_000)), "together they are as many as all may");
        lines.remove(Lines::of(&kept));
        assert_eq!((lines.all, lines.plugins.len()), (0, 0));
    }
}
