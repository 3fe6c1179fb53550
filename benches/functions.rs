//! What the functions on the path of an event cost, called as a program calls them: `cargo bench --bench functions`.
//!
//! `-- audit` asks for those whose name has it, `-- --sample-count 1000` for more samples (docs.rs/divan). What is not
//! public is in the whole processes of `cargo bench --bench emit`. Files are below the target folder: a temporary
//! folder may be in memory, where nothing is durable.

#[allow(dead_code, reason = "the other benches use the rest")]
mod rules;
mod support;

use divan::{Bencher, black_box};
use knockon::audit::{AuditLog, AuditRecord};
use knockon::cache::ConfigCache;
use knockon::config::{self, Loaded};
use knockon::matcher::Matcher;
use knockon::project::UserKey;
use knockon::store::{Key, NewDelivery, Outbox, Owner};
use knockon::time::Timestamp;
use knockon::trust::{self, Manifest, TrustStore, Verdict};
use knockon::{Emitter, EmitterOptions, Event, EventDraft, EventId, Project, UserFolders, drafts};
use rules::Kind;
use std::cell::RefCell;
use std::fs;
use std::time::Duration;
use support::Hooks;
use tempfile::TempDir;

fn main() {
    divan::main();
}

/// A project with `hooks`, and a user of its own.
struct Ground {
    project: Project,
    user: UserFolders,
    _folder: TempDir,
}

impl Ground {
    fn new(hooks: Hooks, settings: &str) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
        let root = folder.path();
        fs::write(root.join("script"), format!("#!/bin/sh\n{}", "# \n".repeat(SCRIPT / 3))).expect("it can be written");
        hooks.make_project(&root.join("project"), &root.join("script"));
        fs::create_dir(root.join("config")).expect("the folder is fresh");
        fs::write(root.join("config/settings.yaml"), settings).expect("the folder can be written");
        let of = |name: &str| Some(root.join(name));
        let user = UserFolders {
            home: None,
            config: of("config"),
            state: of("state"),
            cache: of("cache"),
            ..UserFolders::default()
        };
        Ground { project: Project::at(&root.join("project")).expect("it was made"), user, _folder: folder }
    }

    fn idle(hooks: usize) -> Self {
        Self::new(Hooks::idle(hooks), "version: '1.0'\n")
    }

    fn open(&self) -> Emitter {
        Emitter::open(self.project.clone(), &self.user, EmitterOptions::default())
    }

    fn load(&self) -> Loaded {
        let config::Located { found, problems, .. } = config::find(&self.project, &self.user, None);
        config::read(&found, problems)
    }
}

const ROOT: &str = "/home/you/shop";
/// How large the script of the hooks is.
const SCRIPT: usize = 4096;

fn draft() -> EventDraft {
    drafts::task_completed("task-123").feature("user-auth").context("labels", vec!["backend"])
}

fn event() -> Event {
    let now = Timestamp::now();
    draft().stamp(EventId::generate(now), now, ROOT).expect("a sound draft")
}

mod event {
    use super::*;

    const JSON: &str = r#"{"event_type":"task.completed","feature":"user-auth","context":{"task_id":"task-123","status_from":"In Progress","status_to":"Done","labels":["backend"]},"artifacts":[{"type":"source_code","path":"src/auth.rs"}]}"#;

    /// What a program writes about an event, without what the emitter adds.
    #[divan::bench]
    fn draft(bencher: Bencher<'_, '_>) {
        bencher.bench(super::draft);
    }

    #[divan::bench]
    fn draft_from_json(bencher: Bencher<'_, '_>) {
        bencher.with_inputs(|| JSON.as_bytes().to_vec()).bench_values(|bytes| EventDraft::from_json(bytes, None));
    }

    #[divan::bench]
    fn id_and_time() -> (EventId, Timestamp) {
        let now = Timestamp::now();
        (EventId::generate(now), now)
    }

    #[divan::bench]
    fn stamp(bencher: Bencher<'_, '_>) {
        let (now, id) = (Timestamp::now(), EventId::generate(Timestamp::now()));
        bencher.with_inputs(super::draft).bench_values(|draft| draft.stamp(id, now, ROOT));
    }

    #[divan::bench]
    fn stamp_from_json(bencher: Bencher<'_, '_>) {
        let (now, id) = (Timestamp::now(), EventId::generate(Timestamp::now()));
        let draft = || EventDraft::from_json(JSON.as_bytes().to_vec(), None).expect("it is JSON");
        bencher.with_inputs(draft).bench_values(|draft| draft.stamp(id, now, ROOT));
    }

    #[divan::bench]
    fn parse(bencher: Bencher<'_, '_>) {
        let event = super::event();
        bencher.with_inputs(|| event.bytes().to_vec()).bench_values(Event::parse);
    }
}

mod matcher {
    use super::*;

    fn loaded(hooks: usize) -> Loaded {
        let conditions: Vec<(String, String)> = (0..hooks).map(|n| rules::condition(Kind::Mix, n, n)).collect();
        rules::loaded(&conditions)
    }

    #[divan::bench(args = [10, 100, 1000])]
    fn compile(bencher: Bencher<'_, '_>, hooks: usize) {
        let loaded = loaded(hooks);
        bencher.bench(|| Matcher::compile(&loaded));
    }

    #[divan::bench(args = [10, 100, 1000])]
    fn one_matches(bencher: Bencher<'_, '_>, hooks: usize) {
        let matcher = Matcher::compile(&loaded(hooks)).0;
        let text = rules::event(Kind::Mix, hooks / 2, hooks / 2);
        let event = Event::parse(text.into_bytes()).expect("a sound event");
        assert_eq!(matcher.matches(&event).len(), 1);
        bencher.bench(|| matcher.matches(black_box(&event)));
    }

    #[divan::bench(args = [10, 100, 1000])]
    fn none_matches(bencher: Bencher<'_, '_>, hooks: usize) {
        let matcher = Matcher::compile(&loaded(hooks)).0;
        let event = super::event();
        assert_eq!(matcher.matches(&event), []);
        bencher.bench(|| matcher.matches(black_box(&event)));
    }
}

mod configuration {
    use super::*;

    /// From the file to hooks.
    #[divan::bench(args = [10, 1000])]
    fn read(bencher: Bencher<'_, '_>, hooks: usize) {
        let ground = Ground::idle(hooks);
        assert_eq!((ground.load().hooks.len(), ground.load().problems), (hooks, vec![]));
        bencher.bench(|| ground.load());
    }

    /// From the file and the cache to the hooks that one event may concern: none.
    #[divan::bench(args = [10, 1000])]
    fn from_the_cache(bencher: Bencher<'_, '_>, hooks: usize) {
        let ground = Ground::idle(hooks);
        drop(ground.open());
        let (cache, event) = (ConfigCache::of(&ground.user, UserKey::of(&ground.user), None), super::event());
        bencher.bench(|| {
            let found = config::find(&ground.project, &ground.user, None).found;
            cache.find(found).expect("it was kept").part(&event).expect("it was kept whole")
        });
    }

    /// [`Emitter::open`] of what is in the cache, and its end.
    #[divan::bench(args = [10, 1000])]
    fn open_emitter(bencher: Bencher<'_, '_>, hooks: usize) {
        let ground = Ground::idle(hooks);
        drop(ground.open());
        bencher.bench(|| drop(ground.open()));
    }

    /// The same with an event that no hook waits for.
    #[divan::bench(args = [10, 1000])]
    fn open_and_emit(bencher: Bencher<'_, '_>, hooks: usize) {
        let ground = Ground::idle(hooks);
        drop(ground.open());
        bencher.bench(|| ground.open().emit(super::draft()));
    }

    /// An event that no hook waits for, from an emitter that lives on.
    #[divan::bench(args = [10, 1000])]
    fn emit_again(bencher: Bencher<'_, '_>, hooks: usize) {
        let ground = Ground::idle(hooks);
        let emitter = ground.open();
        bencher.bench(|| emitter.emit(super::draft()));
    }
}

mod audit_log {
    use super::*;

    fn record(event: &Event) -> AuditRecord<'_> {
        AuditRecord::emitted(event, None, Duration::from_micros(300), Timestamp::now())
    }

    /// A record, made and written as JSON.
    #[divan::bench]
    fn write(bencher: Bencher<'_, '_>) {
        let event = super::event();
        let mut bytes = Vec::new();
        bencher.bench_local(|| {
            bytes.clear();
            record(&event).write(&mut bytes);
        });
    }

    /// Locked, linked, written and let go.
    #[divan::bench]
    fn append(bencher: Bencher<'_, '_>) {
        let (ground, event) = (Ground::idle(1), super::event());
        let log = AuditLog::of(&ground.project, &ground.user);
        bencher.bench(|| log.append(&record(&event)).expect("it can be written"));
    }

    /// The same while the lock is held.
    #[divan::bench]
    fn append_and_hold(bencher: Bencher<'_, '_>) {
        let (ground, event) = (Ground::idle(1), super::event());
        let log = AuditLog::of(&ground.project, &ground.user);
        bencher.bench(|| log.append_and_hold(&record(&event)).expect("it can be written"));
    }

    /// On the disk when it returns.
    #[divan::bench]
    fn append_durable(bencher: Bencher<'_, '_>) {
        let ground = Ground::new(Hooks::idle(1), "version: '1.0'\naudit: {durability: fsync}\n");
        let event = super::event();
        let log = AuditLog::of(&ground.project, &ground.user);
        bencher.bench(|| log.append(&record(&event)).expect("it can be written"));
    }
}

mod outbox {
    use super::*;

    /// An outbox with one owner, and the event of every delivery.
    struct Queue {
        outbox: RefCell<Outbox>,
        owner: Owner,
        key: Key,
        event: Event,
        ground: Ground,
    }

    impl Queue {
        fn new() -> Self {
            let ground = Ground::idle(1);
            let outbox = Outbox::open(&ground.user).expect("the state folder can be written");
            let owner = outbox.new_owner().expect("the state folder can be written");
            let key = Key { project: ground.project.root().to_owned(), config: None, trust_hash: None };
            Queue { outbox: RefCell::new(outbox), owner, key, event: super::event(), ground }
        }

        /// On the disk when it returns.
        fn put(&self) {
            let file = self.ground.project.root().join(".knockon/hooks.yaml");
            let delivery = NewDelivery {
                hook: "hook-0",
                file: &file,
                event: self.event.bytes(),
                event_id: self.event.id(),
                source: "library",
                chain: 0,
                coalesce: None,
            };
            self.outbox.borrow_mut().store(&self.key, &self.owner, &[delivery]).expect("it can be stored");
        }

        /// Finds it, notes that it is begun, and removes it.
        fn take(&self) {
            let mut outbox = self.outbox.borrow_mut();
            let waiting = outbox.of_owner(&self.owner.name).expect("it can be read");
            let begun = outbox.begin(&waiting[0]).expect("it can be written").expect("nobody else is there");
            outbox.settle(begun.id).expect("it can be written");
        }
    }

    #[divan::bench]
    fn open(bencher: Bencher<'_, '_>) {
        let queue = Queue::new();
        bencher.bench_local(|| Outbox::open(&queue.ground.user));
    }

    /// One order into an outbox that is empty; what removes it again is not measured.
    #[divan::bench]
    fn put(bencher: Bencher<'_, '_>) {
        let queue = Queue::new();
        queue.put();
        bencher.with_inputs(|| queue.take()).bench_local_values(|()| queue.put());
    }

    /// One order out of it.
    #[divan::bench]
    fn take(bencher: Bencher<'_, '_>) {
        let queue = Queue::new();
        bencher.with_inputs(|| queue.put()).bench_local_values(|()| queue.take());
    }
}

mod trusting {
    use super::*;

    /// A project whose content is trusted.
    fn trusted() -> Ground {
        let ground = Ground::idle(10);
        let loaded = ground.load();
        let file = loaded.project_file().expect("it was written");
        let store = TrustStore::of(&ground.user);
        store.trust(&ground.project, &loaded, file, &Manifest::of(file), Timestamp::now()).expect("it can be written");
        ground
    }

    /// The configuration and its script.
    #[divan::bench]
    fn content_hash(bencher: Bencher<'_, '_>) {
        let loaded = trusted().load();
        let file = loaded.project_file().expect("it was written");
        bencher.bench(|| Manifest::of(file).hash());
    }

    /// The same, what was trusted, and whether others could have written to it.
    #[divan::bench]
    fn verdict(bencher: Bencher<'_, '_>) {
        let ground = trusted();
        let (loaded, store) = (ground.load(), TrustStore::of(&ground.user));
        let file = loaded.project_file().expect("it was written");
        let verdict = || trust::verdict(&ground.project, file, None, &store);
        assert_eq!(verdict().0, Verdict::Trusted);
        bencher.bench(verdict);
    }

    /// The script once more, right before it is started.
    #[divan::bench]
    fn may_start(bencher: Bencher<'_, '_>) {
        let ground = trusted();
        let emitter = ground.open();
        let mut guard = emitter.guard();
        assert_eq!(guard.may_start(0), Verdict::Trusted);
        bencher.bench_local(|| guard.may_start(0));
    }
}
