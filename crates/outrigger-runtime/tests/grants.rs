//! A plugin reaches what it was granted, and nothing else; what it reached for is said.

mod common;

use common::{Bench, Loaded, PLENTY, number, text};
use outrigger_contract::permission::{FileAccess, FileGrant, HostPattern};
use outrigger_contract::{Code, Permissions, Value};

/// `open-flags` and `descriptor-flags` of WASI.
const CREATE: u64 = 1;
const READ: u64 = 1;
const WRITE: u64 = 2;
/// `error-code` of `wasi:filesystem`.
const ACCESS: u64 = 0;
const NO_ENTRY: u64 = 20;
const NOT_PERMITTED: u64 = 31;

fn files(grants: &[(&str, FileAccess)]) -> Permissions {
    let files = grants.iter().map(|(path, access)| FileGrant::new(path, *access).expect("a good path")).collect();
    Permissions { files, ..Permissions::default() }
}

async fn open(plugin: &Loaded, folder: u64, path: &str, flags: (u64, u64)) -> Result<Vec<u8>, (Value, Code)> {
    let arguments = [number(folder), text(path), number(flags.0), number(flags.1), Value::Bool(false)];
    match plugin.call("open", &arguments).await {
        Ok(Value::Bytes(bytes)) => Ok(bytes.to_vec()),
        Ok(other) => panic!("{other:?}"),
        Err(fault) => Err((*fault.error_value.expect("an error value"), fault.code)),
    }
}

#[tokio::test]
async fn a_single_file_can_be_granted() {
    let bench = Bench::new();
    let plugin = bench.hostile(|spec| spec.granted = files(&[("/etc/os-release", FileAccess::Read)])).await;
    let expected = std::fs::read("/etc/os-release").expect("there is one");
    assert_eq!(open(&plugin, 0, "etc/os-release", (0, READ)).await.expect("it is granted"), expected);
    assert_eq!(open(&plugin, 0, "./etc/../etc/os-release", (0, READ)).await.expect("the same file"), expected);

    for (path, flags) in [
        ("etc/shadow", (0, READ)),
        ("etc/os-release", (0, WRITE)),
        ("etc/new", (CREATE, WRITE)),
        ("../../etc/passwd", (0, READ)),
    ] {
        let (value, code) = open(&plugin, 0, path, flags).await.expect_err("it is not granted");
        assert_eq!((value, code), (number(ACCESS), Code::PermissionDenied), "{path}");
    }
    let (result, observed) = plugin
        .call_within("open", &[number(0), text("etc/shadow"), number(0), number(READ), Value::Bool(true)], PLENTY)
        .await;
    let fault = result.expect_err("it stops on it");
    assert_eq!(fault.code, Code::PermissionDenied, "a trap after a refusal is put down to it");
    assert!(fault.message.contains("open the file /etc/shadow"), "{fault}");
    assert!(fault.message.contains(r#"files = [{ path = "/etc/shadow", access = "read" }]"#), "{fault}");
    assert_eq!(observed.violations, ["open the file /etc/shadow"]);
    plugin.still_works().await;
}

#[tokio::test]
async fn a_granted_file_that_is_not_there_is_not_a_refusal() {
    let bench = Bench::new();
    let plugin = bench.hostile(|spec| spec.granted = files(&[("/etc/not-there", FileAccess::Read)])).await;
    assert_eq!(
        open(&plugin, 0, "etc/not-there", (0, READ)).await.expect_err("it is not there"),
        (number(NO_ENTRY), Code::FunctionFailed)
    );
}

#[tokio::test]
async fn folders_are_granted_to_read_or_to_write() {
    let bench = Bench::new();
    let data = tempfile::tempdir().expect("a temporary folder");
    let (inside, outside) = (data.path().join("in"), data.path().join("out"));
    for folder in [&inside, &outside] {
        std::fs::create_dir(folder).expect("room on the disk");
        std::fs::write(folder.join("file"), "content").expect("room on the disk");
    }
    std::os::unix::fs::symlink(outside.join("file"), inside.join("link")).expect("a link");
    let path = format!("{}/", inside.display());
    let grant = |access| files(&[(path.as_str(), access)]);

    let reader = bench.hostile(|spec| spec.granted = grant(FileAccess::Read)).await;
    let folders = reader.call("folders", &[]).await.expect("it asks");
    assert_eq!(folders, Value::List(vec![text("/"), text(path.trim_end_matches('/'))]));
    assert_eq!(open(&reader, 1, "file", (0, READ)).await.expect("it is granted"), b"content");
    // Through the root as well, as a program does that does not look for the nearest folder.
    let through_root = format!("{}file", &path[1..]);
    assert_eq!(open(&reader, 0, &through_root, (0, READ)).await.expect("it is granted"), b"content");
    for (name, flags) in
        [("new", (CREATE, WRITE)), ("file", (0, WRITE)), ("link", (0, READ)), ("../out/file", (0, READ))]
    {
        let (value, code) = open(&reader, 1, name, flags).await.expect_err("it is not granted");
        assert_eq!((value, code), (number(NOT_PERMITTED), Code::PermissionDenied), "{name}");
    }
    let fault = reader.call("remove", &[number(1), text("file")]).await.expect_err("it may only read");
    assert_eq!(fault.code, Code::PermissionDenied, "{fault}");

    let writer = bench.hostile(|spec| spec.granted = grant(FileAccess::Write)).await;
    open(&writer, 1, "new", (CREATE, READ | WRITE)).await.expect("it may write");
    assert_eq!(std::fs::read(inside.join("new")).expect("it was written"), b"new");
    writer.call("remove", &[number(1), text("new")]).await.expect("it may remove");
    assert!(!inside.join("new").exists());
    assert_eq!(open(&writer, 1, "link", (0, READ)).await.expect_err("it leads out").1, Code::PermissionDenied);
    assert!(outside.join("file").exists());
}

/// Answers each request with 204.
async fn server() -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                let count = stream.read(&mut request).await.unwrap_or_default();
                let host = String::from_utf8_lossy(&request[..count]).to_lowercase().contains("host: localhost:");
                let answer: &[u8] = if host { b"HTTP/1.1 204 No Content\r\n\r\n" } else { b"HTTP/1.1 400 Bad\r\n\r\n" };
                _ = stream.write_all(answer).await;
            });
        }
    });
    port
}

fn pattern(text: &str, private: bool) -> HostPattern {
    text.parse::<HostPattern>().expect("a pattern").with_private(private)
}

#[tokio::test]
async fn http_goes_to_granted_hosts_alone() {
    const PROHIBITED: u64 = 4;
    const DENIED: u64 = 15;
    let bench = Bench::new();
    let port = server().await;
    let authority = format!("localhost:{port}");
    let fetch = async |granted: Vec<HostPattern>| {
        let plugin = bench.hostile(|spec| spec.granted.http = granted).await;
        plugin.call("fetch", &[text(&authority), Value::Bool(false)]).await
    };

    let fault = fetch(vec![]).await.expect_err("nothing is granted");
    assert_eq!((fault.code, fault.error_value.as_deref()), (Code::PermissionDenied, Some(&number(DENIED))));
    assert!(fault.message.contains(&format!("http = [\"{authority}\"]")), "{fault}");

    let fault =
        fetch(vec![pattern("localhost:1", true), pattern("*.example.org:*", true)]).await.expect_err("others are");
    assert_eq!(fault.code, Code::PermissionDenied);

    let fault = fetch(vec![pattern(&authority, false)]).await.expect_err("the address is private");
    assert_eq!((fault.code, fault.error_value.as_deref()), (Code::PermissionDenied, Some(&number(PROHIBITED))));
    assert!(fault.message.contains("private = true"), "{fault}");

    assert_eq!(fetch(vec![pattern(&authority, true)]).await.expect("it is granted"), number(204));
    assert_eq!(fetch(vec![pattern("*:*", true)]).await.expect("everything is"), number(204));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_left_at_the_deadline() {
    let bench = Bench::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let authority = listener.local_addr().expect("it is bound").to_string();
    let plugin = bench.hostile(|spec| spec.granted.http = vec![pattern(&authority, true)]).await;
    let time = std::time::Duration::from_millis(200);
    let (result, _) = plugin.call_within("fetch", &[text(&authority), Value::Bool(false)], time).await;
    assert_eq!(result.expect_err("nobody answers").code, Code::DeadlineExceeded);
    plugin.still_works().await;
}

#[tokio::test]
async fn tls_is_spoken_where_it_is_asked_for() {
    const TLS_PROTOCOL_ERROR: u64 = 12;
    let bench = Bench::new();
    let authority = format!("localhost:{}", server().await);
    let plugin = bench.hostile(|spec| spec.granted.http = vec![pattern(&authority, true)]).await;
    let fault =
        plugin.call("fetch", &[text(&authority), Value::Bool(true)]).await.expect_err("the server speaks plainly");
    assert_eq!(fault.error_value.as_deref(), Some(&number(TLS_PROTOCOL_ERROR)), "{fault}");
}

#[tokio::test]
async fn tcp_goes_to_granted_hosts_alone() {
    let bench = Bench::new();
    let port = server().await;
    let connect = async |granted: Vec<HostPattern>| {
        let plugin = bench.hostile(|spec| spec.granted.tcp = granted).await;
        plugin.call("connect", &[number(port.into())]).await
    };
    assert_eq!(connect(vec![]).await.expect_err("nothing is granted").code, Code::PermissionDenied);
    for refused in
        [pattern(&format!("127.0.0.1:{port}"), false), pattern("127.0.0.1:1", true), pattern("*.localhost:*", true)]
    {
        let fault = connect(vec![refused]).await.expect_err("it is not granted");
        assert_eq!(fault.code, Code::PermissionDenied, "{fault}");
        assert!(fault.message.contains(&format!("127.0.0.1:{port}")), "{fault}");
    }
    for granted in [format!("127.0.0.1:{port}"), format!("localhost:{port}"), "*:*".to_owned()] {
        connect(vec![pattern(&granted, true)]).await.unwrap_or_else(|fault| panic!("{granted}: {fault}"));
    }
}
