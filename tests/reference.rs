//! One million pairs of a configuration and an event: the index against a reference written as plainly as
//! the contract reads, with other JSON, other loops and no shared code.

use knockon::Event;
use knockon::config::{Loaded, parse};
use knockon::matcher::{Matcher, Slot, StoredIndex, probe};
use serde_json::{Map, Value, json};
use std::path::Path;

const CONFIGURATIONS: usize = 4_000;
const EVENTS: usize = 250;

/// What the contract says, word by word.
mod reference {
    use serde_json::Value;

    /// The names of the hooks that an event triggers.
    pub fn triggered(config: &Value, event: &Value) -> Vec<String> {
        let hooks = config["hooks"].as_array().unwrap().iter();
        hooks
            .filter(|hook| {
                enabled(hook) && hook["events"].as_array().unwrap().iter().any(|entry| matches(entry, event))
            })
            .map(|hook| hook["name"].as_str().unwrap().to_owned())
            .collect()
    }

    fn enabled(hook: &Value) -> bool {
        hook.get("enabled") != Some(&Value::Bool(false))
    }

    fn matches(entry: &Value, event: &Value) -> bool {
        glob(entry["type"].as_str().unwrap().as_bytes(), event["event_type"].as_str().unwrap().as_bytes())
            && entry.get("filter").is_none_or(|filter| {
                // Conditions on fields of objects in one list hold within the same element: there is a way to
                // choose one element of every list under which all of them hold.
                let mut lists = Vec::new();
                collect_lists(event, &mut lists);
                any_choice(&lists, &mut Vec::new(), &mut |choice| holds(filter, event, choice))
            })
            && entry.get("files").is_none_or(|files| has_file(files, event))
    }

    fn glob(glob: &[u8], text: &[u8]) -> bool {
        match (glob.first(), text.first()) {
            (None, None) => true,
            (Some(b'*'), _) => self::glob(&glob[1..], text) || (!text.is_empty() && self::glob(glob, &text[1..])),
            (Some(b'?'), Some(_)) => self::glob(&glob[1..], &text[1..]),
            (Some(a), Some(b)) if a == b => self::glob(&glob[1..], &text[1..]),
            _ => false,
        }
    }

    /// Every list with objects or lists in it.
    fn collect_lists<'v>(value: &'v Value, lists: &mut Vec<&'v Vec<Value>>) {
        match value {
            Value::Array(items) => {
                if items.iter().any(|item| item.is_object() || item.is_array()) {
                    lists.push(items);
                }
                items.iter().for_each(|item| collect_lists(item, lists));
            }
            Value::Object(members) => members.values().for_each(|member| collect_lists(member, lists)),
            _ => {}
        }
    }

    type Choice<'v> = Vec<(*const Vec<Value>, &'v Value)>;

    fn any_choice<'v>(
        lists: &[&'v Vec<Value>],
        choice: &mut Choice<'v>,
        holds: &mut dyn FnMut(&Choice<'v>) -> bool,
    ) -> bool {
        let Some((list, rest)) = lists.split_first() else { return holds(choice) };
        list.iter().filter(|item| item.is_object() || item.is_array()).any(|item| {
            choice.push((*list, item));
            let found = any_choice(rest, choice, holds);
            choice.pop();
            found
        })
    }

    fn holds(filter: &Value, event: &Value, choice: &Choice<'_>) -> bool {
        filter.as_object().unwrap().iter().all(|(key, wanted)| {
            if key == "$or" {
                return wanted.as_array().unwrap().iter().any(|branch| holds(branch, event, choice));
            }
            let plain_list = wanted.as_array().is_some_and(|items| !items.iter().any(Value::is_object));
            if let Some(field) = key.strip_suffix("_any").filter(|_| plain_list) {
                let values = elements(look_up(field, event, choice));
                return wanted.as_array().unwrap().iter().any(|wanted| values.iter().any(|value| equal(wanted, value)));
            }
            if let Some(field) = key.strip_suffix("_all").filter(|_| plain_list) {
                let found = look_up(field, event, choice);
                let values = elements(found);
                return found.is_some_and(Value::is_array)
                    && wanted.as_array().unwrap().iter().all(|wanted| values.iter().any(|value| equal(wanted, value)));
            }
            let found = look_up(key, event, choice);
            match wanted {
                Value::Array(options) => options.iter().any(|option| fulfils(option, found)),
                one => fulfils(one, found),
            }
        })
    }

    fn look_up<'v>(field: &str, event: &'v Value, choice: &Choice<'v>) -> Option<&'v Value> {
        let (mut at, rest) = match field.strip_prefix("$.") {
            Some(rest) => (event, rest),
            None => (event.get("context")?, field),
        };
        for name in rest.split('.') {
            while let Value::Array(items) = at {
                at = choice.iter().find(|(list, _)| std::ptr::eq(*list, items))?.1;
            }
            at = at.get(name)?;
        }
        Some(at)
    }

    fn elements(value: Option<&Value>) -> Vec<&Value> {
        value.and_then(Value::as_array).map(|items| items.iter().collect()).unwrap_or_default()
    }

    /// The values without parts: the value, or what is in a list and in the lists in it.
    fn leaves(value: &Value) -> Vec<&Value> {
        match value {
            Value::Array(items) => items.iter().flat_map(leaves).collect(),
            Value::Object(_) => Vec::new(),
            leaf => vec![leaf],
        }
    }

    fn equal(wanted: &Value, value: &Value) -> bool {
        match (wanted, value) {
            (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
            (a, b) => a == b && !a.is_array() && !a.is_object(),
        }
    }

    fn fulfils(option: &Value, found: Option<&Value>) -> bool {
        let leaves = found.map(leaves).unwrap_or_default();
        match option.as_object().and_then(|operator| operator.iter().next()) {
            Some((name, wanted)) if name == "exists" => wanted.as_bool().unwrap() != leaves.is_empty(),
            Some((name, wanted)) => leaves.iter().any(|leaf| test(name, wanted, leaf)),
            None => leaves.iter().any(|leaf| equal(option, leaf)),
        }
    }

    fn test(name: &str, wanted: &Value, leaf: &Value) -> bool {
        match name {
            "anything-but" => match wanted {
                Value::Object(operator) => {
                    let (name, wanted) = operator.iter().next().unwrap();
                    let options = wanted.as_array().cloned().unwrap_or_else(|| vec![wanted.clone()]);
                    !options.iter().any(|option| test(name, option, leaf))
                }
                Value::Array(unwanted) => !unwanted.iter().any(|unwanted| equal(unwanted, leaf)),
                unwanted => !equal(unwanted, leaf),
            },
            "numeric" => leaf.as_f64().is_some_and(|value| {
                wanted.as_array().unwrap().chunks(2).all(|pair| {
                    let bound = pair[1].as_f64().unwrap();
                    match pair[0].as_str().unwrap() {
                        "<" => value < bound,
                        "<=" => value <= bound,
                        ">" => value > bound,
                        ">=" => value >= bound,
                        _ => value == bound,
                    }
                })
            }),
            "cidr" => leaf.as_str().and_then(|text| text.parse::<std::net::Ipv4Addr>().ok()).is_some_and(|address| {
                let (network, bits) = wanted.as_str().unwrap().split_once('/').unwrap();
                let network: std::net::Ipv4Addr = network.parse().unwrap();
                let bits: u32 = bits.parse().unwrap();
                let leading = |address: std::net::Ipv4Addr| u64::from(u32::from(address)) >> (32 - bits);
                leading(network) == leading(address)
            }),
            _ => leaf.as_str().is_some_and(|text| {
                let inner = wanted.get("equals-ignore-case").and_then(Value::as_str);
                let (text, wanted) = match (inner, wanted.as_str()) {
                    (Some(inner), _) => (text.to_lowercase(), inner.to_lowercase()),
                    (None, Some(wanted)) if name == "equals-ignore-case" => {
                        (text.to_lowercase(), wanted.to_lowercase())
                    }
                    (None, wanted) => (text.to_owned(), wanted.unwrap().to_owned()),
                };
                match name {
                    "prefix" => text.starts_with(&wanted),
                    "suffix" => text.ends_with(&wanted),
                    "equals-ignore-case" => text == wanted,
                    _ => wildcard(wanted.as_bytes(), text.as_bytes()),
                }
            }),
        }
    }

    fn wildcard(wanted: &[u8], text: &[u8]) -> bool {
        match (wanted.first(), text.first()) {
            (None, None) => true,
            (Some(b'*'), _) => wildcard(&wanted[1..], text) || (!text.is_empty() && wildcard(wanted, &text[1..])),
            (Some(a), Some(b)) if a == b => wildcard(&wanted[1..], &text[1..]),
            _ => false,
        }
    }

    fn has_file(globs: &Value, event: &Value) -> bool {
        let globs: Vec<&str> = globs.as_array().unwrap().iter().map(|glob| glob.as_str().unwrap()).collect();
        let fits = |glob: &str, path: &str| {
            path_glob(&glob.split('/').collect::<Vec<_>>(), &path.split('/').collect::<Vec<_>>())
        };
        let artifacts = event.get("artifacts").and_then(Value::as_array).cloned().unwrap_or_default();
        artifacts.iter().filter_map(|artifact| artifact["path"].as_str()).any(|path| {
            let mut wanted = globs.iter().filter(|glob| !glob.starts_with('!')).peekable();
            let included = wanted.peek().is_none() || wanted.any(|glob| fits(glob, path));
            included && !globs.iter().filter_map(|glob| glob.strip_prefix('!')).any(|glob| fits(glob, path))
        })
    }

    fn path_glob(glob: &[&str], path: &[&str]) -> bool {
        match (glob.first(), path.first()) {
            (None, None) => true,
            (Some(&"**"), _) => path_glob(&glob[1..], path) || (!path.is_empty() && path_glob(glob, &path[1..])),
            (Some(part), Some(name)) => {
                self::glob(part.as_bytes(), name.as_bytes()) && path_glob(&glob[1..], &path[1..])
            }
            _ => false,
        }
    }
}

/// A small generator of numbers: the same on every machine, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn scalar(&mut self) -> Value {
        let values = [
            json!("x"),
            json!("xy"),
            json!("X"),
            json!("yx"),
            json!("z"),
            json!(""),
            json!("10.1.2.3"),
            json!(0),
            json!(1),
            json!(1.0),
            json!(-2.5),
            json!(true),
            json!(false),
            json!(null),
        ];
        self.pick(&values)
    }

    fn text(&mut self) -> Value {
        let texts = [json!("x"), json!("xy"), json!("X"), json!("y"), json!("z")];
        self.pick(&texts)
    }

    fn operator(&mut self) -> Value {
        match self.below(11) {
            0 => json!({"prefix": self.text()}),
            1 => json!({"suffix": self.text()}),
            2 => json!({"prefix": {"equals-ignore-case": self.text()}}),
            3 => json!({"equals-ignore-case": self.text()}),
            4 => json!({"wildcard": self.pick(&["*", "x*", "*y", "x*y", "y*x*", "x"])}),
            5 => json!({"anything-but": self.scalar()}),
            6 => json!({"anything-but": [self.scalar(), self.scalar()]}),
            7 => json!({"anything-but": {"prefix": [self.text(), self.text()]}}),
            8 => self.pick(&[
                json!({"numeric": [">", 0]}),
                json!({"numeric": [">=", -3, "<", 1]}),
                json!({"numeric": ["=", 1]}),
                json!({"numeric": ["<=", 0]}),
            ]),
            9 => json!({"exists": self.chance(50)}),
            _ => json!({"cidr": self.pick(&["10.0.0.0/8", "10.1.2.0/24", "0.0.0.0/0", "11.0.0.0/8"])}),
        }
    }

    fn wanted(&mut self) -> Value {
        match self.below(5) {
            0 | 1 => self.scalar(),
            2 => self.operator(),
            3 => json!([self.scalar(), self.scalar()]),
            _ => json!([self.scalar(), self.operator()]),
        }
    }

    fn filter(&mut self, depth: usize) -> Value {
        let mut filter = Map::new();
        for _ in 0..=self.below(3) {
            let field = self.pick(&["a", "b", "a.c", "b.c", "a.d", "b.c.d", "$.feature", "$.context.a", "e"]);
            if self.chance(15) {
                let suffix = self.pick(&["_any", "_all"]);
                filter.insert(format!("{field}{suffix}"), json!([self.scalar(), self.scalar()]));
            } else {
                let wanted = self.wanted();
                filter.insert(field.to_owned(), wanted);
            }
        }
        if depth == 0 && self.chance(20) {
            filter.insert("$or".into(), json!([self.filter(1), self.filter(1)]));
        }
        Value::Object(filter)
    }

    fn config(&mut self) -> Value {
        let hooks: Vec<Value> = (0..=self.below(5))
            .map(|number| {
                let entries: Vec<Value> = (0..=self.below(2))
                    .map(|_| {
                        let kind = self.pick(&["a.b", "a.c", "a.*", "*.b", "?.?", "*", "x.*", "a.b*"]);
                        let mut entry = json!({"type": kind});
                        if self.chance(80) {
                            entry["filter"] = self.filter(0);
                        }
                        if self.chance(15) {
                            let globs = [
                                json!(["src/*"]),
                                json!(["src/**"]),
                                json!(["**", "!src/**"]),
                                json!(["!a"]),
                                json!(["**/b.?"]),
                            ];
                            entry["files"] = self.pick(&globs);
                        }
                        entry
                    })
                    .collect();
                json!({"name": format!("h{number}"), "command": "x", "events": entries, "enabled": !self.chance(5)})
            })
            .collect();
        json!({"version": "1.1", "hooks": hooks})
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.below(10) {
            0..=4 => self.scalar(),
            5 | 6 if depth < 3 => (0..self.below(4)).map(|_| self.value(depth + 1)).collect(),
            7 | 8 if depth < 3 => self.object(depth + 1),
            _ => self.scalar(),
        }
    }

    fn object(&mut self, depth: usize) -> Value {
        let mut object = Map::new();
        for name in ["a", "b", "c", "d"] {
            if self.chance(60) {
                object.insert(name.to_owned(), self.value(depth));
            }
        }
        Value::Object(object)
    }

    fn event(&mut self) -> Value {
        let mut event = json!({
            "event_type": self.pick(&["a.b", "a.c", "x.b", "x.bb"]),
            "event_id": "evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9A",
            "schema_version": "1.0",
            "timestamp": "2025-12-02T15:30:45.123Z",
            "project_root": "/p",
        });
        if self.chance(90) {
            event["context"] = self.object(0);
        }
        if self.chance(30) {
            event["feature"] = self.text();
        }
        if self.chance(40) {
            let path = self.pick(&["src/a", "src/d/b.c", "a", "b.c", "docs/src/a"]);
            event["artifacts"] = json!([{"type": "file", "path": path}]);
        }
        event
    }
}

fn load(config: &Value) -> Loaded {
    // JSON is YAML.
    let mut problems = Vec::new();
    let parsed = parse(Path::new("hooks.yaml"), config.to_string().as_bytes(), &mut problems);
    let hooks = parsed.unwrap_or_else(|| panic!("{config}: {problems:?}")).hooks;
    Loaded::without_file(hooks)
}

/// The hooks that stand under one of the event's keys.
fn candidates(stored: &StoredIndex<'_>, event: &Event) -> Vec<u32> {
    let slot = |at: usize| Some(Slot::of_bytes(stored.slots.as_chunks().0[at]));
    let keys = stored.finder.keys(event).into_iter();
    keys.flat_map(|key| stored.hooks[probe(stored.tags, key, slot).unwrap()].to_vec()).collect()
}

/// Compares `configurations` made from `seed`; returns how many pairs there were and how many hits.
fn compare(seed: u64, configurations: usize) -> (usize, usize) {
    let mut random = Random(seed);
    let events: Vec<(Value, Event)> = (0..EVENTS * 10)
        .map(|_| {
            let value = random.event();
            let event = Event::parse(value.to_string().into_bytes()).unwrap();
            (value, event)
        })
        .collect();
    let (mut pairs, mut hits) = (0, 0);
    for _ in 0..configurations {
        let config = random.config();
        let loaded = load(&config);
        let (matcher, problems) = Matcher::compile(&loaded);
        assert!(problems.is_empty(), "{config}: {problems:?}");
        let stored = matcher.index().stored();
        for _ in 0..EVENTS {
            let (value, event) = &events[random.below(events.len())];
            // Disabled ones match as well, to be reported; the reference leaves them out.
            let matched = matcher.matches(event);
            let enabled = matched.iter().map(|matched| &loaded.hooks[matched.hook].hook).filter(|hook| hook.enabled);
            let found: Vec<&str> = enabled.map(|hook| hook.name.as_str()).collect();
            let wanted = reference::triggered(&config, value);
            assert_eq!(found, wanted, "\n{config}\n{value}");
            // Whoever knows the keys only finds at least these.
            let candidates = candidates(&stored, event);
            assert!(
                matcher.matches(event).iter().all(|matched| candidates.contains(&(matched.hook as u32))),
                "\n{config}\n{value}\n{candidates:?}"
            );
            hits += wanted.len();
            pairs += 1;
        }
    }
    (pairs, hits)
}

#[test]
fn a_million_pairs_agree_with_the_reference() {
    let seeds = [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03];
    let results: Vec<(usize, usize)> = std::thread::scope(|scope| {
        let compare = |seed| scope.spawn(move || compare(seed, CONFIGURATIONS / seeds.len()));
        let threads: Vec<_> = seeds.into_iter().map(compare).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (pairs, hits) = results.into_iter().fold((0, 0), |sum, (pairs, hits)| (sum.0 + pairs, sum.1 + hits));
    assert_eq!(pairs, 1_000_000);
    // The test would say little if nearly nothing or nearly everything matched.
    assert!(hits > 200_000 && hits < 3_000_000, "{hits}");
}
