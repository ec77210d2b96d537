//! The same over TLS, with a certificate of its own that a system is told to trust.

use std::path::Path;
use std::process::{Command, Output};

use super::served::{Served, done};

/// Makes a certificate for this machine, with its key, that nobody else vouches for.
fn make_certificate(folder: &Path, name: &str) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join(format!("{name}.pem")), made.cert.pem()).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
}

/// Syncs on a system that trusts the certificates in a file, and no others.
fn synced(folder: &Path, url: &str, trusted: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foldlog"));
    command.current_dir(folder).env("SSL_CERT_FILE", folder.join(trusted)).env_remove("SSL_CERT_DIR");
    command.args(["sync", "phone", "--url", url, "--token-file", "token", "--json"]).output().unwrap()
}

// Elsewhere the roots are not in a file.
#[cfg(target_os = "linux")]
#[test]
fn https_goes_to_whom_the_system_trusts_and_to_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    make_certificate(folder, "served");
    make_certificate(folder, "other");
    let args = ["--listen", "127.0.0.1:0", "--certificate", "served.pem", "--key", "served.key"];
    let served = Served::with(folder, &args);
    let (scheme, port) = (served.url.split_once("://").unwrap().0, served.url.rsplit_once(':').unwrap().1);
    assert_eq!(scheme, "https");
    std::fs::write(folder.join("token"), done(folder, &["token", "create", "anna"])).unwrap();
    done(folder, &["replica", "init", "phone"]);
    done(folder, &["replica", "put", "phone", "notes", r#"{"title":"milk"}"#]);
    // Neither whom nobody vouches for, nor by another name, nor without TLS.
    for (url, trusted) in [
        (format!("https://localhost:{port}"), "other.pem"),
        (format!("https://127.0.0.1:{port}"), "served.pem"),
        (format!("http://localhost:{port}"), "served.pem"),
    ] {
        let output = synced(folder, &url, trusted);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{url}, {trusted}: {said}");
        assert!(said.contains("what is unsent is kept"), "{said}");
    }
    let output = synced(folder, &format!("https://localhost:{port}"), "served.pem");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains(r#""sent":1"#), "{told}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_certificate_that_is_none_or_has_another_key_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    make_certificate(folder, "one");
    make_certificate(folder, "two");
    for (certificate, key, named) in [
        ("one.pem", "two.key", "one.pem"),
        ("one.key", "one.key", "one.key"),
        ("one.pem", "one.pem", "one.pem"),
        ("none.pem", "one.key", "none.pem"),
    ] {
        let args = ["serve", "--listen", "127.0.0.1:0", "--certificate", certificate, "--key", key];
        let (said, code) = super::refused(folder, &args);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(named), "{said}");
    }
}
