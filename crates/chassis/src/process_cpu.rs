//! CPU time and memory of a process as the kernel counts them.
//!
//! A cost per check is only honest if it is read from the server's own account, not from wall time:
//! the machine is shared with whoever generates the load.

use std::io;
use std::path::Path;

/// Nanoseconds per tick of `/proc/PID/stat`: `USER_HZ` is 100 on every Linux architecture.
const TICK_NANOSECONDS: u64 = 10_000_000;
/// Bytes per page of `/proc/PID/statm` on the architectures built for (x86-64, AArch64 with 4 KiB).
const PAGE_BYTES: u64 = 4096;

/// CPU nanoseconds that the *living* threads of process `pid` have run (user and kernel), from
/// `/proc/PID/task/*/schedstat`; nanosecond-exact, but a thread that ended takes its time with it.
/// Falls back to [`process_total_nanoseconds`] on kernels without scheduler statistics.
///
/// # Errors
/// If there is no such process or its files cannot be read.
pub fn process_nanoseconds(pid: u32) -> io::Result<u64> {
    let mut sum = 0_u64;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        match read_schedstat(&task?.path().join("schedstat")) {
            Ok(nanoseconds) => sum = sum.saturating_add(nanoseconds),
            // The thread ended between listing and reading, or the kernel keeps no such statistics;
            // a sum of zero is caught below.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.raw_os_error() == Some(ESRCH) => {}
            Err(error) => return Err(error),
        }
    }
    if sum == 0 {
        return process_total_nanoseconds(pid);
    }
    Ok(sum)
}

/// `ESRCH`: reading the file of a thread that has just ended.
const ESRCH: i32 = 3;

/// CPU nanoseconds of process `pid` including its ended threads, from `/proc/PID/stat`; never goes
/// back, but counts in steps of 10 ms.
///
/// # Errors
/// If there is no such process or its files cannot be read.
pub fn process_total_nanoseconds(pid: u32) -> io::Result<u64> {
    total_of_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat"))?)
}

/// CPU nanoseconds of the calling thread, from `/proc/thread-self/schedstat`.
///
/// The kernel brings a running thread's count up to date at its ticks, up to 10 ms apart; giving the
/// processor up for a moment makes it do so now.
///
/// # Errors
/// If the kernel keeps no scheduler statistics.
pub fn thread_nanoseconds() -> io::Result<u64> {
    std::thread::yield_now();
    read_schedstat(Path::new("/proc/thread-self/schedstat"))
}

/// Resident memory of process `pid` in bytes, from `/proc/PID/statm`.
///
/// # Errors
/// If there is no such process or its files cannot be read.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm"))?;
    Ok(field(&text, 1)?.saturating_mul(PAGE_BYTES))
}

fn read_schedstat(path: &Path) -> io::Result<u64> {
    field(&std::fs::read_to_string(path)?, 0)
}

/// `utime + stime` of a stat line; the process name before them may hold spaces and brackets.
fn total_of_stat(text: &str) -> io::Result<u64> {
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    // proc_pid_stat(5): state is field 3 and comes first here, utime is 14, stime 15.
    let user = field(after_name, 11)?;
    let kernel = field(after_name, 12)?;
    Ok(user.saturating_add(kernel).saturating_mul(TICK_NANOSECONDS))
}

fn field(text: &str, index: usize) -> io::Result<u64> {
    text.split_ascii_whitespace()
        .nth(index)
        .and_then(|word| word.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unexpected text in /proc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_shows_on_the_thread_and_on_the_process() {
        let me = std::process::id();
        let (thread, process) = (thread_nanoseconds().unwrap(), process_nanoseconds(me).unwrap());
        let mut digest = [0_u8; 32];
        while thread_nanoseconds().unwrap() < thread + 20_000_000 {
            for _ in 0..1000 {
                let next = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &digest);
                digest.copy_from_slice(next.as_ref());
            }
        }
        // Read a little later than the thread's, and up to a tick behind.
        assert!(process_nanoseconds(me).unwrap() >= process + 10_000_000);
        assert!(process_total_nanoseconds(me).unwrap() >= 10_000_000);
    }

    #[test]
    fn memory_grows_by_what_is_touched() {
        let before = resident_bytes(std::process::id()).unwrap();
        let block = vec![1_u8; 64 << 20];
        let after = resident_bytes(std::process::id()).unwrap();
        assert!(after >= before + (60 << 20), "{before} {after}");
        drop(block);
    }

    #[test]
    fn a_process_name_with_brackets_does_not_shift_the_fields() {
        let line = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 25 17 0 0 20 0 9 0 100 0 0";
        assert_eq!(total_of_stat(line).unwrap(), 42 * TICK_NANOSECONDS);
        assert!(total_of_stat("nonsense").is_err());
    }

    #[test]
    fn no_such_process_is_an_error() {
        assert!(process_nanoseconds(u32::MAX).is_err());
        assert!(resident_bytes(u32::MAX).is_err());
    }
}
