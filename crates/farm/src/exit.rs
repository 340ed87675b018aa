//! What a task's end says to whoever runs it: the exit codes, in one place.

use crate::Error;
use std::io::ErrorKind;

/// The exit code for a command line that can't be understood: nothing was run.
pub const USAGE: u8 = 2;

/// What became of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is finished. Exit code 0.
    Done,
    /// It was stopped with what it has saved, or another machine is at it: run it again. Exit code 75, `EX_TEMPFAIL` of `sysexits.h`.
    Again,
    /// It can't be finished as it is: running it again would end the same way. Exit code 1.
    Never,
}

impl Verdict {
    /// The exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Again => 75,
            Self::Never => 1,
        }
    }

    /// What an exit code says; `None` is a process that a signal ended, which shells tell as 128 and more.
    #[must_use]
    pub fn of_exit(code: Option<i32>) -> Self {
        match code {
            Some(0) => Self::Done,
            Some(75) | None => Self::Again,
            Some(code) if code > 128 => Self::Again,
            Some(_) => Self::Never,
        }
    }

    /// What an error says: a stop, another machine, or a network that is away for the moment passes; the rest stays.
    #[must_use]
    pub fn of_error(error: &Error) -> Self {
        let passes = match error {
            Error::Pipeline(pipeline::Error::Cancelled | pipeline::Error::Busy { .. })
            | Error::Unreachable { .. } => true,
            Error::Pipeline(pipeline::Error::Io { source, .. }) | Error::Io { source, .. } => matches!(
                source.kind(),
                ErrorKind::TimedOut
                    | ErrorKind::Interrupted
                    | ErrorKind::StaleNetworkFileHandle
                    | ErrorKind::HostUnreachable
                    | ErrorKind::NetworkUnreachable
                    | ErrorKind::NetworkDown
            ),
            _ => false,
        };
        if passes { Self::Again } else { Self::Never }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_verdicts_agree() {
        for verdict in [Verdict::Done, Verdict::Again, Verdict::Never] {
            assert_eq!(Verdict::of_exit(Some(verdict.code().into())), verdict);
        }
        assert_eq!(Verdict::of_exit(Some(USAGE.into())), Verdict::Never);
        // Killed: by a signal, as a parent and as a shell see it.
        assert_eq!((Verdict::of_exit(None), Verdict::of_exit(Some(137))), (Verdict::Again, Verdict::Again));
        // A program that panics does so again.
        assert_eq!(Verdict::of_exit(Some(101)), Verdict::Never);
    }

    #[test]
    fn what_passes_is_tried_again() {
        assert_eq!(Verdict::of_error(&pipeline::Error::Cancelled.into()), Verdict::Again);
        let io = |kind: ErrorKind| Error::Io { path: "x".into(), source: kind.into() };
        assert_eq!(Verdict::of_error(&io(ErrorKind::StaleNetworkFileHandle)), Verdict::Again);
        let away = Error::Unreachable { address: "s3://b".to_owned(), why: "no answer".to_owned() };
        assert_eq!(Verdict::of_error(&away), Verdict::Again);
        assert_eq!(Verdict::of_error(&io(ErrorKind::NotFound)), Verdict::Never);
        assert_eq!(Verdict::of_error(&io(ErrorKind::StorageFull)), Verdict::Never);
    }
}
