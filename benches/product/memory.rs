//! What this process holds in memory, as Linux tells it; 0 elsewhere.

use std::fs;

/// Bytes that are resident now.
pub fn resident() -> usize {
    figure("VmRSS:")
}

/// The most bytes that were resident since [`forget_peak`].
pub fn peak() -> usize {
    figure("VmHWM:")
}

/// Begins a new peak at what is resident now.
pub fn forget_peak() {
    // Elsewhere there is no such file, and no figure either.
    drop(fs::write("/proc/self/clear_refs", "5"));
}

fn figure(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<usize>().ok()).unwrap_or(0) << 10
}
