//! What the product says while it runs: panics of its tasks and errors in its log are violations, unless a fault
//! explains them.

use std::{
    cell::RefCell,
    fmt::{self, Write},
    panic,
    sync::{Arc, Once},
};

use parking_lot::Mutex;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

static HOOK: Once = Once::new();

/// Errors that bits which flip on the way explain: they may flip as often as bytes are read again.
const EXPLAINED: [&str; 7] = [
    "records cannot be read",
    "acknowledged records cannot be read",
    "acknowledged records cannot be archived",
    "acknowledged records cannot be compacted",
    "acknowledged records cannot be merged",
    "the metastore replica stops",
    "a snapshot is damaged",
];

/// What a replica says that has slept for too long.
const JUMPED: &str = "this replica goes on from a snapshot";

/// What was said.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// What should not have been said.
    pub(super) wrong: Vec<String>,
    /// How many replicas went on from a snapshot.
    pub(super) jumps: u64,
}

/// Runs something, and gives what it said.
pub(super) fn catch<T>(run: impl FnOnce() -> T) -> (T, Said) {
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.with_borrow_mut(|panics| panics.push(format!("panic: {info}")));
            before(info);
        }));
    });
    PANICS.take();
    let said = Arc::new(Mutex::new(Said::default()));
    let done = tracing::subscriber::with_default(Listener { said: said.clone() }, run);
    let mut said = std::mem::take(&mut *said.lock());
    said.wrong.extend(PANICS.take());
    (done, said)
}

/// Listens to the log.
struct Listener {
    said: Arc<Mutex<Said>>,
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && (*metadata.level() == Level::ERROR || *metadata.level() == Level::INFO)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(format!("error in the log of {}:", event.metadata().target()));
        event.record(&mut text);
        let mut said = self.said.lock();
        if text.0.contains(JUMPED) {
            said.jumps += 1;
        }
        let error = *event.metadata().level() == Level::ERROR;
        if error && !EXPLAINED.iter().any(|explained| text.0.contains(explained)) {
            said.wrong.push(text.0);
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The fields of an event in one line.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {}={value:?}", field.name()).expect("strings take everything");
    }
}
