//! Against Alertmanager itself.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use foretaste_alert::{Ledger, Receiver, deliver};
use serde_json::Value;

use crate::{PATIENCE, notice};

const NAMES: [&str; 2] = ["prometheus-alertmanager", "alertmanager"];

/// An Alertmanager of its own; killed when it goes out of scope.
struct Manager {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Manager {
    /// `None`, and a line that says so, where it is not installed.
    fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.yml");
        fs_err::write(&config, "route:\n  receiver: none\nreceivers:\n  - name: none\n").unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let start = |name: &str| {
            Command::new(name)
                .arg(format!("--config.file={}", config.display()))
                .arg(format!("--storage.path={}", folder.path().join("data").display()))
                .arg(format!("--web.listen-address={address}"))
                .arg("--cluster.listen-address=")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .ok()
        };
        let Some(child) = NAMES.into_iter().find_map(start) else {
            println!("skipped: no Alertmanager; install prometheus-alertmanager");
            return None;
        };
        let manager = Self { child, url: format!("http://{address}"), _folder: folder };
        let until = Instant::now() + Duration::from_secs(60);
        while ureq::get(format!("{}/-/ready", manager.url)).call().is_err() {
            assert!(Instant::now() < until, "Alertmanager does not become ready");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(manager)
    }

    /// The alerts that are on.
    fn on(&self) -> Vec<Value> {
        let mut answer = ureq::get(format!("{}/api/v2/alerts", self.url)).call().unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn receiver(&self) -> Receiver {
        Receiver::Alertmanager(format!("{}/", self.url), 3_600_000)
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_alert_is_on_until_it_is_over() {
    let Some(manager) = Manager::start() else { return };
    let now_ms = || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        i64::try_from(now.as_millis()).unwrap()
    };
    let began = now_ms() - 60_000;
    let alerts = [notice("drift", 0).alert, notice("gap", 0).alert];
    let mut ledger = Ledger::default();
    let news = ledger.settle(&alerts, began, 300_000);
    deliver(&manager.receiver(), &news, now_ms(), PATIENCE).unwrap();
    ledger.told(&news, now_ms());
    let on = manager.on();
    assert_eq!(on.len(), 2, "{on:?}");
    let drift = on.iter().find(|alert| alert["labels"]["check"] == "drift").unwrap();
    assert_eq!(drift["labels"]["alertname"], "ForetasteDataQuality");
    assert_eq!(drift["labels"]["severity"], "critical");
    assert_eq!(drift["annotations"]["summary"], "drift fails");
    assert_eq!(drift["status"]["state"], "active");
    let news = ledger.settle(&alerts[..1], now_ms(), 300_000);
    assert_eq!(news.len(), 1, "only the end is news");
    deliver(&manager.receiver(), &news, now_ms(), PATIENCE).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while manager.on().iter().any(|alert| alert["labels"]["check"] == "gap") {
        assert!(Instant::now() < until, "the end is not seen: {:?}", manager.on());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(manager.on().len(), 1);
}
