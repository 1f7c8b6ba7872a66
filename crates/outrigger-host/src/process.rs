//! Metrics of this process from the operating system. Only Linux provides them.

use std::fs;

use outrigger_api::ProcessMetrics;

/// To programs, Linux counts time in hundredths of a second on all that Wasm is compiled for, whatever it does inside.
const TICKS_PER_SECOND: f64 = 100.0;

/// Places in `/proc/self/stat`, as proc(5) numbers them.
const USER_TIME: usize = 14;
const SYSTEM_TIME: usize = 15;
const START_TIME: usize = 22;

/// The values that can be read now; others are left out.
pub(crate) fn metrics() -> ProcessMetrics {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let own = read("/proc/self/stat");
    ProcessMetrics {
        resident_memory_bytes: resident_memory(&read("/proc/self/status")),
        cpu_seconds: cpu_seconds(&own),
        open_fds: open_fds(),
        start_time_seconds: start_time(&own, &read("/proc/stat")),
    }
}

/// From `/proc/self/status`, in bytes.
fn resident_memory(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kibibytes << 10)
}

fn cpu_seconds(own: &str) -> Option<f64> {
    Some((ticks(own, USER_TIME)? + ticks(own, SYSTEM_TIME)?) / TICKS_PER_SECOND)
}

/// From `/proc/self/stat` and `/proc/stat`, in seconds since 1970.
fn start_time(own: &str, whole: &str) -> Option<f64> {
    let boot: f64 = whole.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + ticks(own, START_TIME)? / TICKS_PER_SECOND)
}

/// The second place is the name of the program in brackets, which may have spaces and brackets in it.
fn ticks(own: &str, place: usize) -> Option<f64> {
    let (_, after_name) = own.rsplit_once(')')?;
    after_name.split_whitespace().nth(place - 3)?.parse().ok()
}

/// Without the one through which they are counted.
fn open_fds() -> Option<u64> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count();
    u64::try_from(open).ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_says_is_read() {
        let own = "4711 (out) rigger (x) S 1 4711 4711 0 -1 4194560 2871 0 0 0 250 75 0 0 20 0 9 0 123450 1 2 3";
        assert_eq!(cpu_seconds(own), Some(3.25));
        assert_eq!(start_time(own, "cpu 1 2 3\nbtime 1753000000\nprocesses 9\n"), Some(1_753_001_234.5));
        assert_eq!(resident_memory("Name:\toutrigger\nVmHWM:\t  900 kB\nVmRSS:\t  640 kB\n"), Some(640 << 10));
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        for odd in ["", ")", "1 (a) S 1", "1 (a) S a b c d e f g h i j k l m n o p q r s t u v"] {
            assert_eq!(
                (cpu_seconds(odd), start_time(odd, "btime 5"), resident_memory(odd)),
                (None, None, None),
                "{odd}"
            );
        }
        assert_eq!(resident_memory("VmRSS:\t many kB\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn it_is_so_of_this_very_process() {
        let ProcessMetrics { resident_memory_bytes, cpu_seconds, open_fds, start_time_seconds } = metrics();
        assert!(resident_memory_bytes.is_some_and(|bytes| bytes > 1 << 20), "{resident_memory_bytes:?}");
        assert!(cpu_seconds.is_some() && open_fds.is_some_and(|open| open > 2), "{cpu_seconds:?} {open_fds:?}");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970");
        let age = now.as_secs_f64() - start_time_seconds.expect("it is known");
        assert!((-2.0..86_400.0).contains(&age), "{age}");
    }
}
