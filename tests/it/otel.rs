//! Traces: what a collector on this machine gets from the real binary, and that none of it can hurt the caller.

use crate::support::{Ran, TestProject, wait_until};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// What the caller is part of.
const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// One request, as it came.
struct Request {
    line: String,
    /// Names in lower case.
    headers: Vec<String>,
    body: Value,
}

/// Accepts requests and answers each with the same bytes.
struct Collector {
    endpoint: String,
    requests: Receiver<Request>,
}

impl Collector {
    fn new() -> Self {
        Self::answering("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
    }

    fn answering(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (sender, requests) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let Some(request) = read(&stream) else { continue };
                (&stream).write_all(answer.as_bytes()).unwrap();
                if sender.send(request).is_err() {
                    return;
                }
            }
        });
        Collector { endpoint, requests }
    }

    fn next(&self) -> Request {
        self.requests.recv_timeout(Duration::from_secs(10)).unwrap()
    }

    /// The spans of the next request.
    fn spans(&self) -> Vec<Value> {
        self.next().body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone()
    }

    /// Whoever could have sent something has ended.
    fn expect_nothing(&self) {
        let next = self.requests.recv_timeout(Duration::from_millis(50)).map(|request| request.body);
        assert_eq!(next, Err(RecvTimeoutError::Timeout));
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let first = line();
    let headers: Vec<String> = std::iter::repeat_with(line).take_while(|line| !line.is_empty()).collect();
    let headers: Vec<String> = headers
        .iter()
        .filter_map(|header| header.split_once(':').map(|(name, value)| format!("{}:{value}", name.to_lowercase())))
        .collect();
    let length = headers.iter().find_map(|header| header.strip_prefix("content-length: "))?.parse().unwrap();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    Some(Request { line: first, headers, body: serde_json::from_slice(&body).unwrap() })
}

/// Runs knockon with variables.
fn run(project: &TestProject, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    let output = project.command(arguments).envs(variables.iter().copied()).output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Emits `task.completed` with variables: it ends well, whatever the collector does.
fn emit(project: &TestProject, variables: &[(&str, &str)]) -> Ran {
    let ran = run(project, &["emit", "task.completed"], variables);
    assert_eq!(ran.code, 0, "{ran:?}");
    ran
}

/// The attributes of a span or of an event of one.
fn attributes(of: &Value) -> Value {
    let all = of["attributes"].as_array().unwrap().iter();
    let value = |value: &Value| value.as_object().unwrap().values().next().unwrap().clone();
    all.map(|one| (one["key"].as_str().unwrap().to_owned(), value(&one["value"])))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn named<'a>(spans: &'a [Value], name: &str) -> Vec<&'a Value> {
    spans.iter().filter(|span| span["name"] == name).collect()
}

fn only<'a>(spans: &'a [Value], name: &str) -> &'a Value {
    let found = named(spans, name);
    assert_eq!(found.len(), 1, "{name}: {spans:#?}");
    found[0]
}

/// The span's place, as `TRACEPARENT` has it.
fn place(span: &Value) -> String {
    format!("00-{}-{}-01", span["traceId"].as_str().unwrap(), span["spanId"].as_str().unwrap())
}

fn nanos(span: &Value, name: &str) -> u128 {
    span[name].as_str().unwrap().parse().unwrap()
}

fn trusted(hooks: &str) -> TestProject {
    let project = TestProject::new();
    project.config(format!("version: '1.1'\ndefaults: {{shell: /bin/sh}}\nhooks:\n{hooks}"));
    project.trust();
    project
}

fn simple() -> TestProject {
    trusted("- {name: a, events: [{type: '*'}], command: 'echo $TRACEPARENT > a'}\n")
}

#[test]
fn every_program_that_ran_is_a_span_with_the_id_it_was_handed() {
    let project = trusted(
        "- {name: good, events: [{type: '*'}], command: 'echo $TRACEPARENT >> good; echo $TRACESTATE >> good'}\n\
         - {name: flaky, events: [{type: '*'}], retry: {attempts: 2, backoff: 1ms}, command: 'echo $TRACEPARENT >> flaky; test $HOOK_ATTEMPT = 2 || exit 3'}\n\
         - {name: out, events: [{type: '*'}], command: touch out}\n",
    );
    let collector = Collector::new();
    let ran = emit(
        &project,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s%20ecret"),
            ("OTEL_SERVICE_NAME", "shop"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=ci"),
            ("TRACEPARENT", CALLER),
            ("TRACESTATE", "x=1"),
            ("KNOCKON_SKIP", "out"),
        ],
    );
    assert_eq!(ran.stderr, "knockon: 1 hook (`out`) did not run: KNOCKON_SKIP names it\n");
    let Request { line, headers, body } = collector.next();
    collector.expect_nothing();
    assert_eq!(line, "POST /v1/traces HTTP/1.1");
    for wanted in ["content-type: application/json", "api-key: s ecret"] {
        assert!(headers.contains(&wanted.to_owned()), "{headers:?}");
    }
    let resource = attributes(&body["resourceSpans"][0]["resource"]);
    assert_eq!(
        (&resource["service.name"], &resource["service.version"], &resource["deployment.environment.name"]),
        (&json!("shop"), &json!(env!("CARGO_PKG_VERSION")), &json!("ci"))
    );
    assert!(resource["host.name"].is_string());

    let spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
    assert_eq!(spans.len(), 4, "{spans:#?}");
    assert!(spans.iter().all(|span| span["traceId"] == CALLER[3..35] && span["traceState"] == "x=1"));
    let whole = only(spans, "emit task.completed");
    assert_eq!(
        (&whole["parentSpanId"], &whole["kind"], whole.get("status")),
        (&json!(CALLER[36..52]), &json!(4), None)
    );
    let event = ran.stdout.split_whitespace().nth(1).unwrap();
    assert_eq!(
        attributes(whole),
        json!({"knockon.event.type": "task.completed", "knockon.event.id": event, "knockon.source": "emit"})
    );
    let skipped = &whole["events"][0];
    assert_eq!(skipped["name"], "hook skipped");
    assert_eq!(
        attributes(skipped),
        json!({"knockon.hook.name": "out", "knockon.hook.status": "skipped", "knockon.hook.attempt": "1", "knockon.hook.reason": "KNOCKON_SKIP names it"})
    );

    let good = only(spans, "hook good");
    assert_eq!(project.read("good"), format!("{}\nx=1\n", place(good)));
    let tries = named(spans, "hook flaky");
    assert_eq!(project.read("flaky"), format!("{}\n{}\n", place(tries[0]), place(tries[1])));
    for (span, status, attempt, code) in
        [(good, "success", "1", "0"), (tries[0], "failed", "1", "3"), (tries[1], "success", "2", "0")]
    {
        assert_eq!((&span["parentSpanId"], &span["kind"]), (&whole["spanId"], &json!(1)));
        let told = attributes(span);
        let told = ["knockon.hook.status", "knockon.hook.attempt", "process.exit.code", "knockon.event.id"]
            .map(|key| told[key].as_str().unwrap().to_owned());
        assert_eq!(told, [status, attempt, code, event]);
        assert!(attributes(span)["process.pid"].as_str().unwrap().parse::<u32>().unwrap() > 1);
        let error = (status == "failed").then(|| json!({"code": 2, "message": "exit 3"}));
        assert_eq!(span.get("status"), error.as_ref());
        let (start, end) = (nanos(span, "startTimeUnixNano"), nanos(span, "endTimeUnixNano"));
        assert!(nanos(whole, "startTimeUnixNano") <= start && start < end && end <= nanos(whole, "endTimeUnixNano"));
    }
}

#[test]
fn an_event_that_names_its_trace_is_part_of_that() {
    let project = simple();
    let collector = Collector::new();
    let named = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let payload = format!(r#"{{"traceparent":"{named}"}}"#);
    let arguments = ["run", "--event-type", "task.completed", "--payload", &payload];
    let variables =
        [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &*format!("{}/here", collector.endpoint)), ("TRACEPARENT", CALLER)];
    assert_eq!(run(&project, &arguments, &variables).code, 0);
    let request = collector.next();
    assert_eq!(request.line, "POST /here HTTP/1.1");
    let spans = request.body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone();
    let whole = only(&spans, "emit task.completed");
    assert_eq!((&whole["traceId"], &whole["parentSpanId"]), (&json!(named[3..35]), &json!(named[36..52])));
    assert_eq!(project.read("a").trim_end(), place(only(&spans, "hook a")));
}

#[test]
fn an_event_that_a_hook_wanted_is_below_that_hook() {
    let project = trusted(
        "- {name: first, events: [{type: task.completed}], command: 'echo $TRACEPARENT > first; echo ''{\"emit\": [{\"type\": \"c.d\"}]}'''}\n\
         - {name: second, events: [{type: c.d}], command: 'echo $TRACEPARENT > second; exit 1', fail_mode: stop}\n",
    );
    let collector = Collector::new();
    let ran = run(&project, &["emit", "task.completed"], &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint)]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let spans = collector.spans();
    collector.expect_nothing();
    assert_eq!(spans.len(), 4, "one request has it all: {spans:#?}");
    let [outer, first, inner, second] =
        ["emit task.completed", "hook first", "emit c.d", "hook second"].map(|name| only(&spans, name));
    assert_eq!(outer.get("parentSpanId"), None, "nobody began the trace before");
    for (child, parent) in [(first, outer), (inner, first), (second, inner)] {
        assert_eq!((&child["traceId"], &child["parentSpanId"]), (&outer["traceId"], &parent["spanId"]));
    }
    assert_eq!(project.read("second").trim_end(), place(second));
    assert_eq!(inner["status"], json!({"code": 2, "message": "`second`: exit 1"}));
    assert_eq!((outer.get("status"), &attributes(second)["error.type"]), (None, &json!("failed")));
}

#[test]
fn what_goes_on_in_the_background_is_part_of_the_trace() {
    let project = trusted("- {name: late, events: [{type: '*'}], mode: detach, command: 'echo $TRACEPARENT > late'}\n");
    let collector = Collector::new();
    emit(&project, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint)]);
    let mut requests = [collector.spans(), collector.spans()];
    requests.sort_by_key(Vec::len);
    let [now, later] = requests;
    let whole = only(&now, "emit task.completed");
    assert_eq!(whole["events"][0]["name"], "hook detached");
    let (delivery, late) = (only(&later, "deliver task.completed"), only(&later, "hook late"));
    assert_eq!(delivery["kind"], 5);
    for (child, parent) in [(delivery, whole), (late, delivery)] {
        assert_eq!((&child["traceId"], &child["parentSpanId"]), (&whole["traceId"], &parent["spanId"]));
    }
    wait_until("the hook's word", || project.exists("late"));
    assert_eq!(project.read("late").trim_end(), place(late));
}

#[test]
fn nothing_is_sent_that_nobody_wants() {
    let project = simple();
    let collector = Collector::new();
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.endpoint);
    let unsampled = CALLER.replace("-01", "-00");
    for variables in [
        &[][..],
        &[("OTEL_SERVICE_NAME", "x")],
        &[endpoint, ("OTEL_SDK_DISABLED", "true")],
        &[endpoint, ("OTEL_TRACES_EXPORTER", "none")],
        &[endpoint, ("TRACEPARENT", &unsampled)],
    ] {
        assert_eq!(emit(&project, variables).stderr, "", "{variables:?}");
    }
    assert!(project.read("a").starts_with(&unsampled[..36]) && project.read("a").ends_with("-00\n"));
    let preview = run(&project, &["emit", "task.completed", "--dry-run"], &[endpoint]);
    assert_eq!((preview.code, preview.stderr.as_str()), (0, ""));
    // It does not even connect; and what a project says about it counts for nothing.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let elsewhere = format!("http://{}", listener.local_addr().unwrap());
    project.hooks(&format!(
        "- {{name: a, events: [{{type: '*'}}], command: 'true', env: {{OTEL_EXPORTER_OTLP_ENDPOINT: '{elsewhere}'}}}}\n"
    ));
    project.trust();
    project.file(".env", format!("OTEL_EXPORTER_OTLP_ENDPOINT={elsewhere}\n"));
    emit(&project, &[]);
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    collector.expect_nothing();
}

/// Emits to an endpoint that does not work: the hook runs, and one warning says why no trace was sent.
fn emit_in_vain(endpoint: &str, more: &[(&str, &str)]) -> (String, Duration) {
    let project = simple();
    let began = Instant::now();
    let ran = emit(&project, &[&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)], more].concat());
    let took = began.elapsed();
    assert!(project.exists("a") && ran.stdout.contains("✓ a"), "{ran:?}");
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    (ran.stderr, took)
}

#[test]
fn an_endpoint_that_does_not_work_costs_a_warning_and_a_bounded_time() {
    // A port that nobody gets by chance.
    let dead = "127.0.0.1:1";
    let (told, took) = emit_in_vain(&format!("http://user:secret@{dead}"), &[]);
    assert!(
        told.starts_with(&format!("knockon: warning: the trace was not sent to http://{dead}/v1/traces: ")),
        "{told}"
    );
    assert!(!told.contains("secret") && took < Duration::from_secs(2), "{told}");

    // It accepts, by the kernel's hand, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let (told, took) = emit_in_vain(&endpoint, &[("OTEL_EXPORTER_OTLP_TIMEOUT", "300")]);
    assert!(told.contains("it took longer than 300 ms"), "{told}");
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(3), "{took:?}");

    for wrong in ["localhost:4318", "ftp://localhost"] {
        let (told, _) = emit_in_vain(wrong, &[]);
        assert!(told.contains("no trace is sent: OTEL_EXPORTER_OTLP_ENDPOINT is no URL"), "{told}");
    }
}

#[test]
fn an_answer_that_never_ends_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\n");
        // A byte from time to time, as one that is ill does.
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let (_, took) = emit_in_vain(&endpoint, &[("OTEL_EXPORTER_OTLP_TIMEOUT", "300")]);
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn an_answer_that_says_no_is_told() {
    for (status, body, wanted) in [
        ("500 Internal Server Error", "", "it answered 500 Internal Server Error\n"),
        ("401 Unauthorized", "<html>", "it answered 401 Unauthorized\n"),
        ("400 Bad Request", r#"{"code":3,"message":"bad\u001b[31m"}"#, "it answered 400 Bad Request: bad"),
        (
            "200 OK",
            r#"{"partialSuccess":{"rejectedSpans":"2","errorMessage":"too many"}}"#,
            "did not take the whole trace: 2 spans were rejected: too many\n",
        ),
    ] {
        let length = body.len();
        let collector =
            Collector::answering(format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}").leak());
        let (told, _) = emit_in_vain(&collector.endpoint, &[]);
        assert!(told.contains(wanted) && !told.contains('\x1b'), "{told}");
    }
    let collector = Collector::answering("SSH-2.0-OpenSSH_9.6\r\n\r\n");
    let (told, _) = emit_in_vain(&collector.endpoint, &[]);
    assert!(told.contains("the trace was not sent"), "{told}");
}

#[test]
fn spans_go_nowhere_but_to_the_endpoint() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    other.set_nonblocking(true).unwrap();
    let elsewhere = format!("http://{}", other.local_addr().unwrap());
    let answer = format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: {elsewhere}/\r\nContent-Length: 0\r\n\r\n");
    let collector = Collector::answering(answer.leak());
    let proxy = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"].map(|name| (name, &*elsewhere));
    let (told, _) = emit_in_vain(&collector.endpoint, &proxy);
    assert!(told.contains("it answered 307 Temporary Redirect"), "{told}");
    assert_eq!(collector.next().line, "POST /v1/traces HTTP/1.1");
    assert_eq!(other.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn another_protocol_is_told_and_the_trace_is_sent_all_the_same() {
    let project = simple();
    let collector = Collector::new();
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.endpoint), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
    let told = emit(&project, &variables).stderr;
    assert_eq!(
        told,
        "knockon: warning: OTEL_EXPORTER_OTLP_PROTOCOL is `grpc`; traces are sent as http/json, which is all that is spoken\n"
    );
    assert_eq!(collector.spans().len(), 2);
}
