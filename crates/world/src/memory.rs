//! How the system gives this process memory.

/// Asks for pages of ordinary size only, from here on. Huge ones are handed out whole: a node that holds many small things
/// would keep several times the memory that it uses, and gain nothing one can measure.
///
/// # Errors
/// When the system does not offer the choice.
pub fn small_pages() -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        const YES: libc::c_ulong = 1;
        const UNUSED: libc::c_ulong = 0;
        // SAFETY: this option takes numbers only, and changes nothing but which pages later faults get.
        if unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, YES, UNUSED, UNUSED, UNUSED) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn huge_pages_are_off_once_asked_for() {
        super::small_pages().expect("small pages");
        let status = std::fs::read_to_string("/proc/self/status").expect("status");
        let enabled = status.lines().find_map(|line| line.strip_prefix("THP_enabled:")).expect("THP_enabled");
        assert_eq!(enabled.trim(), "0");
    }
}
