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
    service: Option<Running>,
    serve: Launch,
    service_address: SocketAddr,
    sandbox: Option<Running>,
    sandbox_setup: SandboxSetup,
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
        let service = serve.start()?;
        let new = NewShop { name: "Shop", psp_url: sandbox.url(), idempotency: plan.idempotency };
        let shop = plan.installation.open_shop(new)?;
        let http = http::client()?;
        Ok(Self {
            client: ShopClient::new(http.clone(), service.url(), &shop),
            control: Control::new(http, sandbox.url()),
            shop,
            installation: plan.installation,
            service: Some(service),
            serve,
            service_address,
            sandbox: Some(sandbox),
            sandbox_setup,
        })
    }

    /// The service.
    ///
    /// # Errors
    /// When it is not running.
    pub fn service(&self) -> Result<&Running, Error> {
        self.service.as_ref().ok_or_else(|| Error::Unexpected("the service is not running".to_owned()))
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
        self.service_address
    }

    /// Where the PSP listens, running or not.
    pub fn sandbox_address(&self) -> SocketAddr {
        self.sandbox_setup.listen
    }

    /// Has the PSP send its webhooks to the service.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn send_webhooks(&self) -> Result<(), Error> {
        self.control.send_webhooks_to(&format!("http://{}", self.service_address), &self.shop).await
    }

    /// Kills the service with SIGKILL. Blocks the thread.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill_service(&mut self) -> Result<(), Error> {
        self.service.take().map_or(Ok(()), Running::kill)
    }

    /// Stops the service with SIGTERM. Blocks the thread.
    ///
    /// # Errors
    /// When it does not end well.
    pub fn stop_service(&mut self) -> Result<(), Error> {
        self.service.take().map_or(Ok(()), Running::stop)
    }

    /// Waits for the service, which was told to end, and is to end well. Blocks the thread.
    ///
    /// # Errors
    /// When it fails, or does not end in time.
    pub fn await_end_of_service(&mut self) -> Result<(), Error> {
        self.service.take().map_or(Ok(()), Running::end_well)
    }

    /// Starts the service again. Blocks the thread.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start_service(&mut self) -> Result<(), Error> {
        self.service = Some(self.serve.start()?);
        Ok(())
    }

    /// Starts the service again with a variable of its environment set, this once. Blocks the thread.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start_service_with(&mut self, variable: &'static str, value: &str) -> Result<(), Error> {
        self.service = Some(self.serve.clone().env(variable, value).start()?);
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

    /// Reconciles settlement reports with the books. Blocks the thread.
    ///
    /// # Errors
    /// When they do not agree.
    pub fn reconcile(&self, reports: &[PathBuf]) -> Result<String, Error> {
        self.installation
            .program("reconcile")
            .args(["--merchant", &self.shop.merchant_id, "--psp-account", &self.shop.psp_account_id])
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

    /// Ends both in order. Blocks the thread.
    ///
    /// # Errors
    /// When one does not end well.
    pub fn end(mut self) -> Result<(), Error> {
        self.stop_service()?;
        self.sandbox.take().map_or(Ok(()), Running::stop)
    }
}
