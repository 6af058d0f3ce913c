//! One signal that stops everything in order.

use std::io::{self, Read};
use tokio::sync::watch;

/// Pulls the [`ShutdownSignal`]s made with it. Dropping it pulls them too: nobody is left who could.
#[derive(Debug)]
pub struct ShutdownTrigger(watch::Sender<bool>);

/// A cheap, clonable promise that [`ShutdownSignal::wait`] returns once the process should stop.
#[derive(Clone, Debug)]
pub struct ShutdownSignal(watch::Receiver<bool>);

/// Whether the end of standard input means that the parent process went away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParentWatch {
    /// Standard input is nobody's business (a service started by an init system).
    Off,
    /// The parent holds our standard input open as long as it lives: its end stops this process, so
    /// that no room outlives the `dev` command that started it, however that command died.
    StandardInput,
}

impl ShutdownTrigger {
    /// Starts the shutdown. Repeating it changes nothing.
    pub fn pull(&self) {
        self.0.send_replace(true);
    }
}

impl ShutdownSignal {
    /// A signal and the trigger that pulls it: for tests and for parts that stop on their own.
    pub fn new() -> (ShutdownTrigger, Self) {
        let (sender, receiver) = watch::channel(false);
        (ShutdownTrigger(sender), Self(receiver))
    }

    /// The signal of this process: SIGINT, SIGTERM and, if asked for, the parent going away. Must be
    /// called inside a tokio runtime.
    ///
    /// # Errors
    /// If the signal handlers or the watching thread cannot be set up.
    pub fn of_process(parent: ParentWatch) -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (sender, receiver) = watch::channel(false);
        if parent == ParentWatch::StandardInput {
            let sender = sender.clone();
            // A thread and not tokio's stdin: that one keeps a runtime from shutting down until
            // somebody presses a key.
            std::thread::Builder::new().name("parent-watch".into()).spawn(move || {
                wait_for_end(io::stdin().lock());
                tracing::info!("the parent process went away");
                sender.send_replace(true);
            })?;
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => tracing::info!("SIGINT: shutting down"),
                _ = terminate.recv() => tracing::info!("SIGTERM: shutting down"),
            }
            sender.send_replace(true);
        });
        Ok(Self(receiver))
    }

    /// Returns once the shutdown has started; at once if it already has.
    pub async fn wait(&self) {
        // An error means that the trigger is gone, which counts as pulled.
        drop(self.0.clone().wait_for(|pulled| *pulled).await);
    }

    /// Whether the shutdown has started.
    pub fn is_pulled(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

/// Reads and forgets until the other end closes.
fn wait_for_end(mut input: impl Read) {
    let mut scratch = [0_u8; 256];
    loop {
        match input.read(&mut scratch) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_clone_wakes_when_the_trigger_is_pulled() {
        let (trigger, signal) = ShutdownSignal::new();
        assert!(!signal.is_pulled());
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let signal = signal.clone();
                tokio::spawn(async move { signal.wait().await })
            })
            .collect();
        trigger.pull();
        for task in waiting {
            task.await.unwrap();
        }
        assert!(signal.is_pulled());
        signal.wait().await;
    }

    #[tokio::test]
    async fn a_dropped_trigger_counts_as_pulled() {
        let (trigger, signal) = ShutdownSignal::new();
        drop(trigger);
        signal.wait().await;
        assert!(signal.is_pulled());
    }

    #[test]
    fn the_parent_watch_ends_with_the_pipe_and_not_before() {
        let (reader, mut writer) = io::pipe().unwrap();
        let watching = std::thread::spawn(move || wait_for_end(reader));
        io::Write::write_all(&mut writer, b"still here\n").unwrap();
        assert!(!watching.is_finished());
        drop(writer);
        watching.join().unwrap();
    }
}
