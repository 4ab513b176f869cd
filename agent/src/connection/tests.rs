//! The connection loop over a pipe: order, limits, time-outs and draining.

use std::io;

use futures::FutureExt;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, DuplexStream, duplex},
    sync::{Notify, watch},
    task::JoinHandle,
};

use super::{budget::SMALL_FRAME_BYTES_MAX, *};

/// Answers each frame with itself. Frames `wait` and `park` are answered only after `release`, and `park` needs no
/// frame while it waits; `none` has no answer.
#[derive(Default)]
struct Echo {
    taken: watch::Sender<Vec<Bytes>>,
    release: Arc<Notify>,
    order: Mutex<()>,
}

impl Intake for Echo {
    async fn take_in(&self, _: Peer, frame: Bytes, charge: Charge) -> Result<Reply, ConnectionError> {
        let _order = self.order.lock();
        self.taken.send_modify(|taken| taken.push(frame.clone()));
        let release = self.release.clone();
        Ok(async move {
            if frame == "park" {
                charge.release();
            }
            if frame == "wait" || frame == "park" {
                release.notified().await;
            }
            Ok((frame != "none").then_some(frame))
        }
        .boxed())
    }
}

struct Fixture {
    peer: DuplexStream,
    echo: Arc<Echo>,
    shared: Arc<Shared>,
    served: JoinHandle<Result<(), ConnectionError>>,
}

impl Fixture {
    fn new(limits: Limits) -> Self {
        Self::beside(Arc::new(Shared::new(limits, Arc::default(), CancellationToken::new())))
    }

    /// A connection beside others.
    fn beside(shared: Arc<Shared>) -> Self {
        let (peer, stream) = duplex(64);
        let echo = Arc::new(Echo::default());
        let (intake, parts) = (echo.clone(), shared.clone());
        let served = tokio::spawn(async move {
            let (reader, writer) = tokio::io::split(stream);
            let peer = Peer { transport: Transport::Kafka, address: IpAddr::from([127, 0, 0, 1]) };
            serve(reader, writer, peer, &*intake, &parts).await
        });
        Self { peer, echo, shared, served }
    }

    async fn send(&mut self, body: &str) {
        let length = i32::try_from(body.len()).expect("a short body");
        let frame = [&length.to_be_bytes(), body.as_bytes()].concat();
        self.peer.write_all(&frame).await.expect("the connection is open");
    }

    async fn taken(&self, count: usize) -> Vec<Bytes> {
        let mut taken = self.echo.taken.subscribe();
        taken.wait_for(|taken| taken.len() >= count).await.expect("the sender lives").clone()
    }

    async fn read(&mut self, bytes: usize) -> String {
        let mut buffer = vec![0; bytes];
        self.peer.read_exact(&mut buffer).await.expect("the connection is open");
        String::from_utf8(buffer).expect("the tests write text")
    }

    async fn ended(self) -> Result<(), ConnectionError> {
        self.served.await.expect("the loop does not panic")
    }
}

#[tokio::test]
async fn later_requests_are_taken_in_while_one_waits_and_replies_keep_their_order() {
    let mut fixture = Fixture::new(Limits::default());
    for body in ["wait", "none", "two", "three"] {
        fixture.send(body).await;
    }
    assert_eq!(fixture.taken(4).await, ["wait", "none", "two", "three"]);
    fixture.echo.release.notify_one();
    assert_eq!(fixture.read(12).await, "waittwothree");
}

#[tokio::test]
async fn a_peer_that_has_finished_sending_still_gets_its_replies() {
    let mut fixture = Fixture::new(Limits::default());
    fixture.send("wait").await;
    fixture.peer.shutdown().await.expect("the connection is open");
    fixture.taken(1).await;
    fixture.echo.release.notify_one();
    assert_eq!(fixture.read(4).await, "wait");
    assert!(fixture.ended().await.is_ok());
}

#[tokio::test]
async fn a_draining_connection_reads_no_more_and_answers_what_it_has() {
    let mut fixture = Fixture::new(Limits::default());
    fixture.send("wait").await;
    fixture.taken(1).await;
    fixture.shared.draining.cancel();
    fixture.echo.release.notify_one();
    assert_eq!(fixture.read(4).await, "wait");
    assert!(fixture.ended().await.is_ok());
}

#[tokio::test]
async fn frames_above_the_limit_close_the_connection_unread() {
    let mut fixture = Fixture::new(Limits { frame_bytes_max: 10, ..Limits::default() });
    fixture.send("ten bytes!").await;
    assert_eq!(fixture.read(10).await, "ten bytes!");
    fixture.peer.write_all(&11_i32.to_be_bytes()).await.expect("the connection is open");
    let ended = fixture.ended().await;
    assert!(matches!(ended, Err(ConnectionError::Frame(FrameError::TooLong { len: 11, max: 10 }))));
}

#[tokio::test]
async fn a_cut_frame_is_an_error() {
    let mut fixture = Fixture::new(Limits::default());
    fixture.peer.write_all(&[0, 0, 0, 9, b'x']).await.expect("the connection is open");
    fixture.peer.shutdown().await.expect("the connection is open");
    let ended = fixture.ended().await;
    assert!(matches!(ended, Err(ConnectionError::Io(e)) if e.kind() == io::ErrorKind::UnexpectedEof));
}

/// Lets every task run as far as it can: paused time moves only when all of them wait.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn the_byte_budget_is_charged_before_a_body_is_read() {
    let limits = Limits { frame_bytes_max: 69, requests_bytes_max: 69, ..Limits::default() };
    let mut fixture = Fixture::new(limits);
    let more = "m".repeat(66);
    fixture.send("wait").await;
    fixture.send(&more).await;
    settle().await;
    assert_eq!(fixture.taken(1).await, ["wait"], "69 bytes have no room for frames of four and of 66");
    fixture.echo.release.notify_one();
    assert_eq!(fixture.read(4 + 66).await, format!("wait{more}"));
}

#[tokio::test(start_paused = true)]
async fn the_smallest_frames_are_heard_while_slow_uploads_hold_the_budget() {
    let limits = Limits { frame_bytes_max: 100, requests_bytes_max: 100, ..Limits::default() };
    let mut slow = Fixture::new(limits);
    slow.peer.write_all(&[0, 0, 0, 100, b'x']).await.expect("the connection is open");
    settle().await;
    assert_eq!(slow.shared.requests_bytes.left(), 0, "the upload holds all of it");

    let mut asking = Fixture::beside(slow.shared.clone());
    let mut longer = Fixture::beside(slow.shared.clone());
    asking.send("question").await;
    longer.send(&"m".repeat(SMALL_FRAME_BYTES_MAX + 1)).await;
    let answer = timeout(Duration::from_secs(1), asking.read(8)).await;
    assert_eq!(answer.expect("no wait for the upload"), "question");
    assert!(longer.taken(0).await.is_empty(), "the reserve is for the smallest frames");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_without_its_frame_leaves_the_budget_to_others() {
    let limits = Limits { frame_bytes_max: 68, requests_bytes_max: 68, ..Limits::default() };
    let mut fixture = Fixture::new(limits);
    let more = "m".repeat(66);
    fixture.send("park").await;
    fixture.send(&more).await;
    settle().await;
    assert_eq!(fixture.taken(2).await, ["park", &more]);
    assert_eq!(fixture.shared.requests_bytes.left(), 2, "one frame of 66 bytes is held");
    fixture.echo.release.notify_one();
    assert_eq!(fixture.read(4 + 66).await, format!("park{more}"));
}

#[tokio::test(start_paused = true)]
async fn requests_in_flight_are_limited() {
    let mut fixture = Fixture::new(Limits { requests_in_flight_max: 2, ..Limits::default() });
    for body in ["wait", "two", "three"] {
        fixture.send(body).await;
    }
    settle().await;
    assert_eq!(fixture.taken(2).await, ["wait", "two"]);
    fixture.echo.release.notify_one();
    assert_eq!(fixture.read(12).await, "waittwothree");
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed_unless_it_waits_for_an_answer() {
    let limits = Limits { idle_max: Duration::from_secs(10), ..Limits::default() };
    let mut fixture = Fixture::new(limits);
    fixture.send("wait").await;
    tokio::time::sleep(Duration::from_secs(35)).await;
    fixture.echo.release.notify_one();
    assert_eq!(fixture.read(4).await, "wait");
    assert!(matches!(fixture.ended().await, Err(ConnectionError::Idle(_))));
}

#[tokio::test(start_paused = true)]
async fn peers_that_move_a_frame_too_slowly_are_cut_off() {
    let mut sender = Fixture::new(Limits::default());
    sender.peer.write_all(&[0, 0, 0, 9, b'x']).await.expect("the connection is open");
    assert!(matches!(sender.ended().await, Err(ConnectionError::TooSlow(9))));

    // The pipe holds 64 bytes and nobody reads its other end.
    let mut reader = Fixture::new(Limits::default());
    reader.send(&"x".repeat(100)).await;
    assert!(matches!(reader.served.await.expect("no panic"), Err(ConnectionError::TooSlow(100))));
}
