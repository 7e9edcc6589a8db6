//! `setup` and `migrate`.

use clap::Args;
use serde::Serialize;

use super::CliError;
use super::output::OutputArgs;
use crate::database::{self, APP_ROLE, DATABASE, OWNER_ROLE, Roles};

/// Makes what a server needs before the schema. It may run again, and several at once. It sets no passwords: where the
/// server asks for them, give the roles some with psql's \password
#[derive(Debug, Args)]
pub(super) struct Setup {
    /// Address of the server for an administrator who may make roles and databases
    #[arg(long, env = "PAYONCE_ADMIN_URL", hide_env_values = true, value_name = "URL")]
    admin_url: String,

    /// Name of the database
    #[arg(long, value_name = "NAME", default_value = DATABASE)]
    database: String,

    /// Role that owns the schema and migrates it
    #[arg(long, value_name = "NAME", default_value = OWNER_ROLE)]
    owner_role: String,

    /// Role that the service runs as; it owns nothing
    #[arg(long, value_name = "NAME", default_value = APP_ROLE)]
    app_role: String,
}

impl Setup {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let roles = Roles { owner: &self.owner_role, app: &self.app_role, database: &self.database };
        Ok(database::setup(&self.admin_url, roles).await?)
    }
}

/// Applies what is missing of the schema's history. It may run again, and several at once
#[derive(Debug, Args)]
pub(super) struct Migrate {
    /// Address of the database for the role that owns the schema
    #[arg(long, env = "PAYONCE_ADMIN_URL", hide_env_values = true, value_name = "URL")]
    admin_url: String,

    /// Role that the service runs as, which is granted what it needs and nothing more
    #[arg(long, value_name = "NAME", default_value = APP_ROLE)]
    app_role: String,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct Migrated {
    applied: Vec<String>,
}

impl Migrate {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let applied = database::migrate(&self.admin_url, &self.app_role).await?;
        let people = match applied.is_empty() {
            true => "the schema is up to date".to_owned(),
            false => format!("applied {}", applied.join(", ")),
        };
        self.output.print(&Migrated { applied }, || people)
    }
}
