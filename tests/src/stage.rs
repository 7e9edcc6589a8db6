//! A shop on a service beside a PSP: started, killed and started again under the same addresses.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::installation::{Installation, NewShop, Shop};
use crate::process::{Launch, Running};
use crate::psp::{Control, SandboxSetup};
use crate::shop::ShopClient;
use crate::{Error, http, ports};

/// How a stage is set.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The service's installation, which is new.
    pub installation: Installation,
    /// Where the PSP keeps its state and its log.
    pub folder: &'a Path,
    /// What the PSP's random decisions are drawn from.
    pub seed: u64,
    /// Further arguments of `payment-service serve`.
    pub arguments: &'a [&'a str],
    /// What the PSP does about a request that comes twice, as `psp-account create` calls it.
    pub idempotency: &'a str,
}

/// A service, a PSP, and a shop that knows both.
#[derive(Debug)]
pub struct Stage {
    /// The shop.
    pub shop: Shop,
    /// The shop's client.
    pub client: ShopClient,
    /// The PSP's back door.
    pub control: Control,
    /// The service's installation.
    pub installation: Installation,
    service: Service,
    /// The others on the same database.
    replicas: Vec<Service>,
    sandbox: Option<Running>,
    sandbox_setup: SandboxSetup,
}

/// A process of the service, running or not.
#[derive(Debug)]
struct Service {
    running: Option<Running>,
    serve: Launch,
    address: SocketAddr,
}

impl Service {
    fn start(serve: Launch, address: SocketAddr) -> Result<Self, Error> {
        Ok(Self { running: Some(serve.start()?), serve, address })
    }

    fn running(&self) -> Result<&Running, Error> {
        self.running.as_ref().ok_or_else(|| Error::Unexpected("the service is not running".to_owned()))
    }

    fn start_again(&mut self) -> Result<(), Error> {
        self.running = Some(self.serve.start()?);
        Ok(())
    }
}

impl Stage {
    /// Starts everything. Blocks the thread.
    ///
    /// # Errors
    /// When something does not start.
    pub fn set(plan: Plan<'_>) -> Result<Self, Error> {
        let sandbox_setup = SandboxSetup {
            listen: ports::lasting()?,
            state: plan.folder.join("sandbox"),
            log: plan.folder.join("sandbox.log"),
            seed: plan.seed,
        };
        let sandbox = sandbox_setup.start()?;
        let service_address = ports::lasting()?;
        let serve = plan.installation.serve(service_address).args(plan.arguments);
        // first, so that an embedded database is made once and not by each of the commands below
        let service = Service::start(serve, service_address)?;
        let new = NewShop { name: "Shop", psp_url: sandbox.url(), idempotency: plan.idempotency };
        let shop = plan.installation.open_shop(new)?;
        let http = http::client()?;
        Ok(Self {
            client: ShopClient::new(http.clone(), service.running()?.url(), &shop),
            control: Control::new(http, sandbox.url()),
            shop,
            installation: plan.installation,
            service,
            replicas: Vec::new(),
            sandbox: Some(sandbox),
            sandbox_setup,
        })
    }

    /// The service.
    ///
    /// # Errors
    /// When it is not running.
    pub fn service(&self) -> Result<&Running, Error> {
        self.service.running()
    }

    /// Starts one more service on the same database, and answers its number. The first one's is 0. Blocks the thread.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn add_replica(&mut self, arguments: &[&str]) -> Result<usize, Error> {
        let address = ports::lasting()?;
        let serve = self.installation.serve(address).args(arguments);
        self.replicas.push(Service::start(serve, address)?);
        Ok(self.replicas.len())
    }

    /// A service by its number.
    ///
    /// # Errors
    /// When it is not running.
    pub fn replica(&self, number: usize) -> Result<&Running, Error> {
        std::iter::once(&self.service)
            .chain(&self.replicas)
            .nth(number)
            .ok_or_else(|| no_replica(number))?
            .running()
    }

    fn replica_mut(&mut self, number: usize) -> Result<&mut Service, Error> {
        let mut all = std::iter::once(&mut self.service).chain(&mut self.replicas);
        all.nth(number).ok_or_else(|| no_replica(number))
    }

    /// Kills a service with SIGKILL. Blocks the thread.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill_replica(&mut self, number: usize) -> Result<(), Error> {
        self.replica_mut(number)?.running.take().map_or(Ok(()), Running::kill)
    }

    /// Starts a service again. Blocks the thread.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start_replica(&mut self, number: usize) -> Result<(), Error> {
        self.replica_mut(number)?.start_again()
    }

    /// The shop's clients of all services, by their numbers.
    ///
    /// # Errors
    /// When the system has nothing random to give.
    pub fn clients(&self) -> Result<Vec<ShopClient>, Error> {
        let all = std::iter::once(&self.service).chain(&self.replicas);
        all.map(|service| {
            Ok(ShopClient::new(http::client()?, &format!("http://{}", service.address), &self.shop))
        })
        .collect()
    }

    /// The PSP.
    ///
    /// # Errors
    /// When it is not running.
    pub fn sandbox(&self) -> Result<&Running, Error> {
        self.sandbox.as_ref().ok_or_else(|| Error::Unexpected("the PSP is not running".to_owned()))
    }

    /// Where the service listens, running or not.
    pub fn service_address(&self) -> SocketAddr {
        self.service.address
    }

    /// Where the PSP listens, running or not.
    pub fn sandbox_address(&self) -> SocketAddr {
        self.sandbox_setup.listen
    }

    /// Has the PSP send its webhooks to the service, each to every one of them.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn send_webhooks(&self) -> Result<(), Error> {
        for service in std::iter::once(&self.service).chain(&self.replicas) {
            self.control.send_webhooks_to(&format!("http://{}", service.address), &self.shop).await?;
        }
        Ok(())
    }

    /// Kills the service with SIGKILL. Blocks the thread.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill_service(&mut self) -> Result<(), Error> {
        self.service.running.take().map_or(Ok(()), Running::kill)
    }

    /// Stops the service with SIGTERM. Blocks the thread.
    ///
    /// # Errors
    /// When it does not end well.
    pub fn stop_service(&mut self) -> Result<(), Error> {
        self.service.running.take().map_or(Ok(()), Running::stop)
    }

    /// Waits for the service, which was told to end, and is to end well. Blocks the thread.
    ///
    /// # Errors
    /// When it fails, or does not end in time.
    pub fn await_end_of_service(&mut self) -> Result<(), Error> {
        self.service.running.take().map_or(Ok(()), Running::end_well)
    }

    /// Starts the service again. Blocks the thread.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start_service(&mut self) -> Result<(), Error> {
        self.service.start_again()
    }

    /// Starts the service again with a variable of its environment set, this once. Blocks the thread.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start_service_with(&mut self, variable: &'static str, value: &str) -> Result<(), Error> {
        self.service.running = Some(self.service.serve.clone().env(variable, value).start()?);
        Ok(())
    }

    /// Kills the PSP with SIGKILL. Blocks the thread.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill_sandbox(&mut self) -> Result<(), Error> {
        self.sandbox.take().map_or(Ok(()), Running::kill)
    }

    /// Starts the PSP again. Blocks the thread.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start_sandbox(&mut self) -> Result<(), Error> {
        self.sandbox = Some(self.sandbox_setup.start()?);
        Ok(())
    }

    /// Has the PSP behave and pay out all but so many minor units of each currency, and writes down its settlement reports.
    ///
    /// # Errors
    /// When it refuses, or they cannot be written.
    pub async fn pay_out_but(&self, kept: i64, folder: &Path) -> Result<Vec<PathBuf>, Error> {
        self.control.heal().await?;
        let mut paths = Vec::new();
        for (payout, csv) in self.control.pay_out_but(kept).await? {
            let path = folder.join(format!("{payout}.csv"));
            std::fs::write(&path, csv).map_err(Error::io(format_args!("write {}", path.display())))?;
            paths.push(path);
        }
        Ok(paths)
    }

    /// Reconciles settlement reports with the books. Blocks the thread.
    ///
    /// # Errors
    /// When they do not agree.
    pub fn reconcile(&self, reports: &[PathBuf]) -> Result<String, Error> {
        self.installation
            .program("reconcile")
            .args(["run", "--merchant", &self.shop.merchant_id, "--psp-account", &self.shop.psp_account_id])
            .args(reports)
            .run()
    }

    /// The same where they do not agree: what `reconcile` tells of the breaks. Blocks the thread.
    ///
    /// # Errors
    /// When they agree, or cannot be compared.
    pub fn reconcile_with_breaks(&self, reports: &[PathBuf]) -> Result<String, Error> {
        match self.reconcile(reports) {
            Ok(told) => Err(Error::Unexpected(format!("the books agree with the settlement files: {told}"))),
            Err(error) => {
                let told = error.chain();
                if told.contains("verdict: breaks") { Ok(told) } else { Err(error) }
            }
        }
    }

    /// Has the service check its own invariants. Blocks the thread.
    ///
    /// # Errors
    /// When one does not hold.
    pub fn audit(&self) -> Result<String, Error> {
        let sandbox = format!("http://{}", self.sandbox_setup.listen);
        self.installation.command(["audit", "--sandbox", &sandbox]).run()
    }

    /// The same without the PSP's own log, which tells of what others did there as well.
    ///
    /// # Errors
    /// When one does not hold.
    pub fn audit_of_rows(&self) -> Result<String, Error> {
        self.installation.command(["audit"]).run()
    }

    /// Ends all of them in order. Blocks the thread.
    ///
    /// # Errors
    /// When one does not end well.
    pub fn end(mut self) -> Result<(), Error> {
        self.stop_service()?;
        for replica in std::mem::take(&mut self.replicas) {
            replica.running.map_or(Ok(()), Running::stop)?;
        }
        self.sandbox.take().map_or(Ok(()), Running::stop)
    }
}

fn no_replica(number: usize) -> Error {
    Error::Unexpected(format!("there is no service {number}"))
}
