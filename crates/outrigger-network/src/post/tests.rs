use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::resolve::ResolverPool;

/// A server for one connection, that gives this answer and tells what it was asked.
async fn once(answer: &'static str, tls: Option<TlsAcceptor>) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let asked = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut stream: Box<dyn Stream> = match tls {
            Some(tls) => match tls.accept(stream).await {
                Ok(stream) => Box::new(stream),
                Err(error) => return error.to_string(),
            },
            None => Box::new(stream),
        };
        let mut asked = Vec::new();
        while !asked.ends_with(b"hello") {
            let read = stream.read_buf(&mut asked).await.expect("it can be read");
            assert!(read > 0, "it ended too soon");
        }
        stream.write_all(answer.as_bytes()).await.expect("it can be written");
        String::from_utf8(asked).expect("text")
    });
    (port, asked)
}

async fn send(url: &str, access: HostAccess, tls: &TlsClient) -> Result<Answer, PostError> {
    let url: Url = url.parse().expect("an address");
    let headers = Post::headers([("content-type", "text/plain"), ("x-token", "hunter2")]).expect("headers");
    let request = Post { url: &url, access, networks: &[], headers, body: Bytes::from_static(b"hello") };
    assert!(!format!("{request:?}").contains("hunter2"));
    post(&ResolverPool::default().for_owner("test"), tls, request).await
}

#[tokio::test]
async fn a_post_is_sent_and_a_redirect_is_an_answer_like_any_other() {
    let answer = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n";
    let (port, asked) = once(answer, None).await;
    let url = format!("http://127.0.0.1:{port}/hooks?a=b");
    let found = send(&url, HostAccess::AlsoPrivate, &TlsClient::default()).await.expect("an answer");
    assert_eq!(found, Answer { status: 302, retry_after: Some(Duration::from_secs(7)) });
    let asked = asked.await.expect("it was asked");
    let head = asked.to_ascii_lowercase();
    assert!(head.starts_with("post /hooks?a=b http/1.1\r\n"), "{asked}");
    for line in [&format!("host: 127.0.0.1:{port}"), "x-token: hunter2", "content-length: 5"] {
        assert!(head.contains(&format!("{line}\r\n")), "{line}: {asked}");
    }
}

#[tokio::test]
async fn private_addresses_are_refused_by_whatever_name_they_go() {
    let tls = TlsClient::default();
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"] {
        let error = send(&format!("http://{host}:9/"), HostAccess::PublicOnly, &tls).await.expect_err("it is private");
        assert!(matches!(error, PostError::Connect(ConnectError::Private { .. })), "{host}: {error}");
    }
}

#[tokio::test]
async fn certificates_are_for_the_host_and_from_somebody_known() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let certificate = made.cert.der().clone();
    let acceptor = || {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .expect("a certificate");
        TlsAcceptor::from(Arc::new(config))
    };
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("a root");
    let knowing = TlsClient::with_roots(roots).expect("TLS");
    let answer = "HTTP/1.1 204 No Content\r\n\r\n";
    for (host, tls, expected) in
        [("localhost", &knowing, Some(204)), ("127.0.0.1", &knowing, None), ("localhost", &TlsClient::default(), None)]
    {
        let (port, asked) = once(answer, Some(acceptor())).await;
        let outcome = send(&format!("https://{host}:{port}/"), HostAccess::AlsoPrivate, tls).await;
        match expected {
            Some(status) => assert_eq!(outcome.expect("an answer").status, status),
            None => {
                let error = outcome.expect_err("the certificate is not to be believed");
                assert!(matches!(error, PostError::Tls { .. }), "{host}: {}", error.text());
            }
        }
        drop(asked);
    }
}
