//! How much memory a bench took.

/// The most memory that this process ever held.
pub(crate) fn highest() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib =
        found.and_then(|value| value.trim().strip_suffix(" kB")).and_then(|value| value.parse::<f64>().ok());
    kib.map_or_else(|| "memory unknown here".to_owned(), |kib| format!("{:.0} MiB", kib / 1024.0))
}
