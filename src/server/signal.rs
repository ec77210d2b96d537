//! The end of a process, as the system tells it.

use super::Error;

/// Waits until the process is told to end: by Ctrl-C, or where the system has it by a signal to terminate.
///
/// # Errors
/// The system does not let signals be waited for.
pub fn wait_for_signal() -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let mut terminate = signal(SignalKind::terminate())?;
            tokio::select! {
                told = tokio::signal::ctrl_c() => told?,
                _ = terminate.recv() => {}
            }
        }
        #[cfg(not(unix))]
        tokio::signal::ctrl_c().await?;
        Ok(())
    })
}
