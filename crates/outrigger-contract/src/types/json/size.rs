//! The memory of JSON trees: the size of one, and a bound for that of a text before it is parsed.

use std::io;

use serde_json::{Map, Value as Json};

use super::meter::ALLOCATION;

/// The size of a map entry: hash, name and value.
const ENTRY: usize = size_of::<(u64, String, Json)>();

/// The size of a map in bytes, without the contents of its names and values. Like a hash table it has spare capacity: a
/// list of entries, and an index of their positions with one control byte each.
pub(super) const fn map_size(members: usize) -> usize {
    let buckets = match members {
        0 => return 0,
        1..4 => 4,
        4..8 => 8,
        _ => (members * 8 / 7).next_power_of_two(),
    };
    let capacity = if buckets == 4 { 3 } else { buckets / 8 * 7 };
    capacity * ENTRY + buckets * (size_of::<usize>() + 1) + 16 + 2 * ALLOCATION
}

/// The approximate heap size of a JSON tree, in bytes.
#[must_use]
pub fn tree_size(json: &Json) -> usize {
    let allocation = |bytes: usize| if bytes == 0 { 0 } else { bytes + ALLOCATION };
    match json {
        Json::Null | Json::Bool(_) | Json::Number(_) => 0,
        Json::String(text) => allocation(text.capacity()),
        Json::Array(items) => {
            allocation(items.capacity() * size_of::<Json>()) + items.iter().map(tree_size).sum::<usize>()
        }
        Json::Object(members) => members_size(members),
    }
}

/// The approximate heap size of the members of an object, in bytes.
#[must_use]
pub fn members_size(members: &Map<String, Json>) -> usize {
    let member = |(name, value): (&String, &Json)| name.capacity() + ALLOCATION + tree_size(value);
    map_size(members.len()) + members.iter().map(member).sum::<usize>()
}

/// The size of an array in bytes, without the contents of its items. Its capacity is a power of two, at least four.
const fn array_size(items: usize) -> usize {
    let capacity = if items < 4 { 4 } else { items.next_power_of_two() };
    capacity * size_of::<Json>() + ALLOCATION
}

/// Computes an upper bound for the memory that parsing a JSON text takes, without parsing it. The text is written to
/// this counter and not kept. Two bytes of text can become three hundred bytes of tree.
#[derive(Clone, Debug, Default)]
pub struct TreeBound {
    bytes: usize,
    /// The largest allocation that was replaced by one twice its size. While it is copied, both exist.
    replaced: usize,
    /// The open arrays and objects, the outermost first, and the number of further ones that are not followed.
    open: Vec<Open>,
    deeper: usize,
    in_text: bool,
    is_escaped: bool,
    /// The value of `bytes` at the beginning of the current string, and whether that has an escape sequence.
    started: usize,
    has_escape: bool,
    /// The length of the longest string with an escape sequence.
    unescaped: usize,
}

/// An open array or object, with the number of its items. An empty one counts as one item.
#[derive(Clone, Copy, Debug)]
enum Open {
    Array(usize),
    Object(usize),
}

impl Open {
    const fn size(self) -> usize {
        match self {
            Self::Array(items) => array_size(items),
            Self::Object(members) => map_size(members),
        }
    }

    const fn with_another(self) -> Self {
        match self {
            Self::Array(items) => Self::Array(items + 1),
            Self::Object(members) => Self::Object(members + 1),
        }
    }
}

impl TreeBound {
    /// Neither the JSON parser nor the types of functions go deeper; deeper values can only be skipped.
    const DEEPEST: usize = 256;

    /// The bound for parsing a complete text. The parser collects a string with escape sequences in a buffer that
    /// doubles when it grows.
    #[must_use]
    pub fn of(text: impl AsRef<[u8]>) -> usize {
        let mut bound = Self::default();
        bound.add(text.as_ref());
        if bound.in_text {
            // The parser reads an unfinished string, too.
            bound.end_text();
        }
        bound.bytes() + 3 * bound.unescaped
    }

    /// The bound for the tree of the text that was written so far, while it is built.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes + self.replaced
    }

    fn add(&mut self, text: &[u8]) {
        for byte in text {
            self.bytes += 1;
            match (self.in_text, byte) {
                (true, _) if self.is_escaped => self.is_escaped = false,
                (true, b'\\') => (self.is_escaped, self.has_escape) = (true, true),
                (true, b'"') => self.end_text(),
                (true, _) => {}
                (false, b'"') => {
                    self.bytes += ALLOCATION;
                    (self.in_text, self.has_escape, self.started) = (true, false, self.bytes);
                }
                (false, b'[') => self.begin(Open::Array(1)),
                (false, b'{') => self.begin(Open::Object(1)),
                (false, b',') => self.next_item(),
                (false, b']' | b'}') => self.end(),
                (false, _) => {}
            }
        }
    }

    fn begin(&mut self, open: Open) {
        if self.open.len() == Self::DEEPEST {
            self.deeper += 1;
            return;
        }
        self.bytes += open.size();
        self.open.push(open);
    }

    fn end(&mut self) {
        match self.deeper {
            0 => _ = self.open.pop(),
            _ => self.deeper -= 1,
        }
    }

    fn next_item(&mut self) {
        let Some(open) = self.open.last_mut().filter(|_| self.deeper == 0) else { return };
        let had = open.size();
        *open = open.with_another();
        let more = open.size() - had;
        if more > 0 {
            self.bytes += more;
            self.replaced = self.replaced.max(had);
        }
    }

    fn end_text(&mut self) {
        self.in_text = false;
        if self.has_escape {
            self.unescaped = self.unescaped.max(self.bytes - self.started);
        }
    }
}

impl io::Write for TreeBound {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::cell::Cell;

    use serde::de::DeserializeSeed;

    use super::super::meter::{Meter, Tree};
    use super::*;

    /// Counts what this thread has allocated.
    struct Counting;

    thread_local! {
        static HELD: Cell<usize> = const { Cell::new(0) };
        static PEAK: Cell<usize> = const { Cell::new(0) };
    }

    #[expect(unsafe_code, reason = "an allocator is")]
    // SAFETY: every call is passed to the system's allocator unchanged.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            _ = HELD.try_with(|held| {
                held.set(held.get().wrapping_add(layout.size()));
                _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
            });
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
            _ = HELD.try_with(|held| held.set(held.get().wrapping_sub(layout.size())));
            unsafe { System.dealloc(place, layout) }
        }
    }

    #[global_allocator]
    static COUNTING: Counting = Counting;

    #[test]
    fn s12_a_tree_takes_no_more_than_is_counted() {
        let many = |item: &str, count: usize| format!("[{}]", vec![item; count].join(","));
        let members = |count: usize| {
            let members: Vec<_> = (0..count).map(|name| format!("\"{name}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        let nested = |open: &str, close: &str| format!("{}0{}", open.repeat(100), close.repeat(100));
        let texts = [
            many("0", 100_000),
            many("[0]", 5_000),
            many("[]", 5_000),
            many("{}", 5_000),
            many("{\"a\":1}", 5_000),
            many("\"\"", 5_000),
            many("\"[{,\\\"[{,\"", 5_000),
            many(&format!("\"{}\\n{}\"", "x".repeat(50_000), "x".repeat(10_000)), 3),
            format!("\"{}\"", "\\n".repeat(100_000)),
            many(&nested("[", "]"), 100),
            many(&nested("{\"\":", "}"), 100),
            members(4),
            members(15),
            members(29),
            members(1_000),
            many(&members(5), 1_000),
        ];
        for text in texts {
            HELD.set(0);
            PEAK.set(0);
            let tree: Json = serde_json::from_str(&text).expect("JSON");
            let (taken, peak) = (HELD.get(), PEAK.get());
            let start = &text[..text.len().min(60)];
            let (size, bound) = (tree_size(&tree), TreeBound::of(&text));
            assert!(size >= taken, "{start}: {size} counted, {taken} taken");
            assert!(size <= 2 * taken + 100, "{start}: {size} counted, {taken} taken");
            assert!(bound >= size, "{start}: a bound of {bound}, {size} counted");
            assert!(bound >= peak, "{start}: a bound of {bound}, {peak} taken for a moment");
            // The meter grants what it has, and no more.
            let asked = Cell::new(0);
            let more = |bytes| {
                asked.set(asked.get() + bytes);
                true
            };
            let meter = Meter::new(&more);
            let mut deserializer = serde_json::Deserializer::from_str(&text);
            Tree(&meter).deserialize(&mut deserializer).expect("JSON");
            let used = asked.get() - meter.left();
            assert!(used >= taken, "{start}: {used} metered, {taken} taken");
        }
    }

    #[test]
    fn s13_a_list_of_numbers_is_counted_with_its_exact_capacity() {
        let check = |items: usize, capacity: usize| {
            let text = format!("[{}]", vec!["0"; items].join(","));
            let expected = (capacity + capacity / 2) * size_of::<Json>() + 2 * ALLOCATION + text.len();
            assert_eq!(TreeBound::of(&text), expected, "{items} items");
        };
        check(5, 8);
        check(1 << 17, 1 << 17);
        check((1 << 17) + 1, 1 << 18);
        // A body of 256 KiB, as it is read.
        assert!(TreeBound::of(format!("[{}0]", "0,".repeat(131_070))) < 14 << 20);
        // Brackets in a string are not values.
        let quoted = format!(r#"{{"text": "{}"}}"#, "[[{{,::".repeat(1_000));
        assert_eq!(TreeBound::of(&quoted), map_size(1) + 2 * ALLOCATION + quoted.len());
        // Values that are nested too deeply are not followed; what comes after them is.
        assert!(TreeBound::of("[".repeat(1 << 20)) < 2 << 20);
        let after = format!("[{}{},{}0]", "[".repeat(1_000), "]".repeat(1_000), "0,".repeat(10_000));
        assert!(TreeBound::of(&after) > array_size(10_002));
    }
}
