//! A caller's connection, whose other end may be slow or gone.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long a caller may take nothing of what it is answered.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection that was closed on our side reads on, and how much, in bytes.
const LINGER: (Duration, usize) = (Duration::from_secs(1), 1024 * 1024);

/// A stream on which a write that makes no progress fails in the end, and whose end reaches the caller: what it still
/// sends when it was answered early is read and thrown away, because the system would answer it by a reset, which
/// takes the answer with it.
pub(super) struct Patient<S> {
    stream: S,
    /// Until when the write that waits may wait.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Until when, and for how many bytes, it reads on after its end.
    lingering: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Patient<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, stalled: None, lingering: None }
    }

    /// Writes by `write`, which must not wait for longer than the patience lasts.
    fn patiently<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(written) = write(Pin::new(&mut self.stream), cx) {
            self.stalled = None;
            return Poll::Ready(written);
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(WRITE_PATIENCE)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Reads on until the caller is done, too.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let lingering = self.lingering.get_or_insert_with(|| (Box::pin(sleep(LINGER.0)), LINGER.1));
        let (until, left) = lingering;
        let mut unread = [0; 4096];
        while *left > 0 && until.as_mut().poll(cx).is_pending() {
            let mut unread = ReadBuf::new(&mut unread);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut unread));
            let count = unread.filled().len();
            if read.is_err() || count == 0 {
                break;
            }
            *left = left.saturating_sub(count);
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.patiently(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.patiently(cx, |stream, cx| stream.poll_write_vectored(cx, parts))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.patiently(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(self.patiently(cx, |stream, cx| stream.poll_shutdown(cx)))?;
        }
        self.poll_linger(cx).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_write_that_makes_no_progress_fails_and_one_that_makes_some_does_not() {
        let (ours, mut theirs) = duplex(10);
        let mut ours = Patient::new(ours);
        let began = Instant::now();
        let reader = tokio::spawn(async move {
            // less than the patience between two of them
            for _ in 0..5 {
                sleep(WRITE_PATIENCE.mul_f32(0.9)).await;
                theirs.read_exact(&mut [0; 10]).await.unwrap();
            }
            theirs
        });
        ours.write_all(&[0; 60]).await.unwrap();
        assert!(began.elapsed() > 4 * WRITE_PATIENCE);
        let stopped_reading = Instant::now();
        let error = ours.write_all(&[0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!((WRITE_PATIENCE..2 * WRITE_PATIENCE).contains(&stopped_reading.elapsed()));
        drop(reader);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_sent_after_the_end_is_read_but_not_for_ever() {
        let (ours, mut theirs) = duplex(10);
        let closing = tokio::spawn(async move { Patient::new(ours).shutdown().await });
        theirs.write_all(&[0; 1000]).await.unwrap();
        assert_eq!(theirs.read(&mut [0; 1]).await.unwrap(), 0);
        drop(theirs);
        closing.await.unwrap().unwrap();

        let (ours, _theirs) = duplex(10);
        let began = Instant::now();
        Patient::new(ours).shutdown().await.unwrap();
        assert_eq!(began.elapsed().as_secs(), LINGER.0.as_secs());
    }
}
