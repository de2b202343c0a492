//! A check of an `https://` address: the certificate counts, and who vouches for it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::Ground;

/// Answers every request over TLS with 204, until the test ends. Its certificate is its own, in PEM.
fn server() -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for peer in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, peer);
            let mut asked = [0; 4096];
            // A client that does not trust the certificate goes away here.
            if stream.read(&mut asked).is_ok_and(|count| count > 0) {
                stream.write_all(b"HTTP/1.1 204 So\r\nContent-Length: 0\r\n\r\n").unwrap();
                stream.flush().unwrap();
            }
        }
    });
    (port, made.cert.pem())
}

#[test]
fn an_address_is_asked_over_tls_and_its_certificate_must_be_trusted() {
    let (port, pem) = server();
    let ground = Ground::new();
    ground.write("ca.pem", &pem);
    let options = "#{ status: 204, timeout: \"3s\", every: \"50ms\" }";
    let line = format!("check(vm(\"web-01\"), \"https://localhost:{port}/health\", {options});");
    ground.write("ask.rhai", &line);
    let trusting = [("SSL_CERT_FILE", ground.path().join("ca.pem"))];
    ground.homing_with(&["run", "ask.rhai"], &trusting).exit(0);
    let said = ground.homing(&["run", "ask.rhai", "--again"]).exit(1);
    assert!(said.err.contains("certificate"), "{said:?}");
}
