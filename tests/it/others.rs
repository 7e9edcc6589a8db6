//! Clients and servers that others wrote, as judges of ours.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use embedded_postgres::Supervised;
use rustix::process::Signal;
use serde_json::json;
use tests::installation::NewShop;
use tests::psp::SandboxSetup;
use tests::shop::ShopClient;
use tests::{http, ports};
use tokio::task::block_in_place;

use crate::world::{installation, order};

/// As the Stripe library in tests/node says of itself.
const OLDEST_NODE: u32 = 18;

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// A test that cannot run says so, and fails where everything has to be there.
fn skip(test: &str, reason: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test}: {reason}");
    // past the test runner, which shows what a test prints only when it fails
    let mut stderr = std::io::stderr();
    writeln!(stderr, "skipped {test}: {reason}").unwrap();
}

/// Why the Stripe library for Node cannot be used, if it cannot.
fn without_stripe_library() -> Option<String> {
    if !workspace().join("tests/node/node_modules/stripe").is_dir() {
        return Some("the Stripe library for Node is not installed: run scripts/test-clients".to_owned());
    }
    let Ok(output) = Command::new("node").arg("--version").stdin(Stdio::null()).output() else {
        return Some("Node is not installed".to_owned());
    };
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major = version.strip_prefix('v').and_then(|version| version.split('.').next()?.parse().ok());
    let new_enough = major.is_some_and(|major: u32| major >= OLDEST_NODE);
    (!new_enough)
        .then(|| format!("the Stripe library needs Node {OLDEST_NODE} or newer, and this is {version}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_stripe_library_drives_the_sandbox() {
    if let Some(reason) = without_stripe_library() {
        return skip("the_official_stripe_library_drives_the_sandbox", &reason);
    }
    let folder = workspace().join("tests/node");
    let scratch = tempfile::tempdir().unwrap();
    let setup = SandboxSetup {
        listen: ports::lasting().unwrap(),
        state: scratch.path().join("sandbox"),
        log: scratch.path().join("sandbox.log"),
        seed: 1,
    };
    let sandbox = block_in_place(|| setup.start()).unwrap();
    let mut node = Command::new("node");
    node.arg("stripe_client.mjs").current_dir(&folder).env("SANDBOX_URL", sandbox.url()).stdin(Stdio::null());
    let output = block_in_place(|| node.output()).unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    block_in_place(|| sandbox.stop()).unwrap();
}

#[test]
fn a_node_that_is_too_old_is_said_to_be_the_reason_of_a_skipped_test() {
    let folder = tempfile::tempdir().unwrap();
    let node = folder.path().join("node");
    std::fs::write(&node, "#!/bin/sh\necho v12.22.9\n").unwrap();
    std::fs::set_permissions(&node, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let run = |ci: &str| {
        let mut test = Command::new(std::env::current_exe().unwrap());
        test.args(["--exact", "others::the_official_stripe_library_drives_the_sandbox"]);
        let output = test.env("PATH", &path).env("CI", ci).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.success(), said)
    };
    let installed = workspace().join("tests/node/node_modules/stripe").is_dir();
    let reason = if installed { "needs Node 18 or newer, and this is v12.22.9" } else { "is not installed" };
    let (passed, said) = run("");
    assert!(passed && said.contains("skipped the_official") && said.contains(reason), "{said}");
    let (passed, said) = run("true");
    assert!(!passed && said.contains(reason), "where all has to be there, it fails: {said}");
}

/// localstripe, bound to the loopback, with a folder for its one file.
struct Localstripe {
    process: Supervised,
    url: String,
    _folder: tempfile::TempDir,
}

impl Drop for Localstripe {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.process.signal(Signal::KILL);
        self.process.wait_timeout(Duration::from_secs(5));
    }
}

/// Its own command would listen on all interfaces, and keep its state in one place for everybody on the machine.
const ON_LOOPBACK: &str = "import sys
from aiohttp import web
from localstripe import resources, server
resources.Store.dump_to_disk = lambda self: None
web.run_app(server.app, host='127.0.0.1', port=int(sys.argv[1]), print=None)";

impl Localstripe {
    async fn start(python: &Path) -> Self {
        let (folder, address) = (tempfile::tempdir().unwrap(), ports::lasting().unwrap());
        let mut command =
            embedded_postgres::dies_with_its_parent(python, "KILL").unwrap_or_else(|| Command::new(python));
        command.args(["-c", ON_LOOPBACK, &address.port().to_string()]);
        command.env("TMPDIR", folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
        let process = Supervised::spawn(command).unwrap();
        let started = Self { process, url: format!("http://{address}"), _folder: folder };
        for _ in 0..600 {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return started;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("localstripe does not listen at {}", started.url);
    }
}

fn python() -> Option<PathBuf> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    let python = target.join("venv/bin/python");
    let works = Command::new(&python).args(["-c", "import localstripe.server"]).status();
    works.is_ok_and(|status| status.success()).then_some(python)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_is_paid_through_a_psp_that_nobody_here_wrote() {
    let Some(python) = python() else {
        let reason = "localstripe is not installed: run scripts/test-clients";
        return skip("the_service_is_paid_through_a_psp_that_nobody_here_wrote", reason);
    };
    let psp = Localstripe::start(&python).await;
    let scratch = tempfile::tempdir().unwrap();
    let installation = installation(scratch.path());
    let shop = NewShop { name: "Shop", psp_url: &psp.url, idempotency: "native" };
    let shop =
        block_in_place(|| installation.open_shop(shop)).unwrap_or_else(|error| panic!("{}", error.chain()));
    let service = block_in_place(|| installation.start(ports::lasting().unwrap()));
    let service = service.unwrap_or_else(|error| panic!("{}", error.chain()));
    let http = http::client().unwrap();
    let webhooks = format!("{}/v1/webhooks/{}", service.url(), shop.psp_account_id);
    let endpoint = [
        ("url", webhooks.as_str()),
        ("secret", &shop.webhook_secret),
        ("events[]", "payment_intent.succeeded"),
        ("events[]", "payment_intent.payment_failed"),
    ];
    let response =
        http.post(format!("{}/_config/webhooks/service", psp.url)).form(&endpoint).send().await.unwrap();
    assert!(response.status().is_success(), "{}", response.text().await.unwrap());

    let client = ShopClient::new(http, service.url(), &shop);
    let told = client.pay("good", &order("order-1", 1099)).await.unwrap();
    assert_eq!((told.status, &told.json()["status"]), (201, &json!("captured")), "{}", told.body);
    let again = client.pay("good", &order("order-1", 1099)).await.unwrap();
    assert_eq!((again.status, again.body, again.replayed), (201, told.body, true));
    let mut refused = order("order-2", 700);
    refused["payment_method"] = json!("pm_card_chargeCustomerFail");
    let told = client.pay("bad", &refused).await.unwrap();
    assert_eq!((told.status, &told.json()["status"]), (201, &json!("failed")), "{}", told.body);

    let mut database = {
        use sqlx::Connection as _;
        sqlx::PgConnection::connect(&installation.superuser_url().unwrap()).await.unwrap()
    };
    let mut arrived: i64 = 0;
    for _ in 0..600 {
        let query = "select count(*) from webhook_event where status not in ('pending', 'parked')
                     and type = 'payment_intent.succeeded'";
        arrived = sqlx::query_scalar(query).fetch_one(&mut database).await.unwrap();
        if arrived > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(arrived, 1, "its webhook did not arrive: {}", service.tail());

    let wallet = client.wallet("seller-1").await.unwrap();
    assert_eq!(wallet.iter().map(|balance| balance.pending).collect::<Vec<_>>(), [990]);
    let [balance] = &client.trial_balance().await.unwrap()[..] else { panic!("one currency") };
    assert_eq!((balance.debits, balance.credits, balance.difference), (1099, 1099, 0));
    block_in_place(|| installation.command(["audit"]).run())
        .unwrap_or_else(|error| panic!("{}", error.chain()));
    block_in_place(|| service.stop()).unwrap();
}
