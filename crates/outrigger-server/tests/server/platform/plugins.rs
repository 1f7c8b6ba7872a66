//! The plugins, as they are listed and changed.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use outrigger_api::*;
use outrigger_contract::Manifest;
use time::OffsetDateTime;

use super::{DIGEST, Seen};

impl Seen {
    fn summary(&self, name: &str) -> PluginSummary {
        let at = OffsetDateTime::UNIX_EPOCH + time::Duration::days(name.len() as i64);
        PluginSummary {
            name: name.parse().unwrap(),
            version: "1.2.0".to_owned(),
            title: name.to_uppercase(),
            description: String::new(),
            categories: vec!["billing".to_owned()],
            state: if *self.state.enabled.lock() { "active" } else { "disabled" }.to_owned(),
            reason: None,
            functions: 2,
            digest: DIGEST.to_owned(),
            installed_at: at,
            updated_at: at,
        }
    }

    fn health(&self, name: &str) -> PluginHealth {
        let at = OffsetDateTime::UNIX_EPOCH;
        let reason = Some("no answer".to_owned());
        let to = if name == "billing" { "unhealthy" } else { "healthy" };
        let change =
            HealthChangeInfo { at, from: "degraded".to_owned(), to: to.to_owned(), reason: "3 checks".to_owned() };
        PluginHealth {
            plugin: name.parse().unwrap(),
            state: "active".to_owned(),
            reason: None,
            status: to.to_owned(),
            consecutive_failures: 3,
            consecutive_successes: 0,
            last_check: Some(LastCheckInfo { at, outcome: "failed".to_owned(), reason, duration_us: 5 }),
            next_check_at: Some(at),
            next_restart_at: None,
            restarts: 1,
            restarts_total: 4,
            changes: vec![change],
        }
    }
}

fn manifest() -> Manifest {
    Manifest::parse(
        "name = \"pricing\"\nversion = \"1.2.0\"\ntitle = \"Pricing\"\ndescription = \"Prices.\"\n\
         [runtime]\nkind = \"wasm\"\nentry = \"pricing.wasm\"\n",
    )
    .unwrap()
}

fn signature() -> SignatureInfo {
    SignatureInfo {
        state: SignatureWord::Valid,
        accepted: true,
        signer: Some("platform-team".to_owned()),
        key_ids: vec![DIGEST.to_owned()],
        signed_at: Some(OffsetDateTime::UNIX_EPOCH),
        detail: None,
    }
}

#[async_trait]
impl Plugins for Seen {
    async fn plugin_list(&self) -> ApiResult<Vec<PluginSummary>> {
        self.allowed()?;
        Ok(["billing", "host-tuning", "pricing"].map(|name| self.summary(name)).into())
    }

    async fn plugin_info(&self, name: &PluginName) -> ApiResult<PluginDetails> {
        self.plugin(name)?;
        Ok(PluginDetails {
            summary: self.summary(name.as_str()),
            manifest: manifest(),
            source: "/srv/pricing".to_owned(),
            capped: Vec::new(),
            granted: Vec::new(),
            offered: self.functions(),
            refused: Vec::new(),
            imports: Vec::new(),
            exports: Vec::new(),
            revisions: Vec::new(),
        })
    }

    async fn plugin_available(&self) -> ApiResult<AvailableReport> {
        self.allowed()?;
        Ok(AvailableReport { plugins: Vec::new(), duplicates: Vec::new(), problems: Vec::new() })
    }

    async fn package_inspect(&self, source: &PackageSource) -> ApiResult<PackageReport> {
        self.allowed()?;
        if *source == PackageSource::Path("/nowhere".into()) {
            return Err(ApiError::new(Code::NotFound, "/nowhere does not exist"));
        }
        Ok(PackageReport {
            manifest: manifest(),
            digest: DIGEST.to_owned(),
            size: 1,
            files: 1,
            permissions: Vec::new(),
            above_ceiling: Vec::new(),
            take_over: None,
            widened: Vec::new(),
            offered: self.functions(),
            refused: Vec::new(),
            imports: Vec::new(),
            warnings: Vec::new(),
            installed_version: None,
            source: "/srv/pricing".to_owned(),
            signature: signature(),
        })
    }

    async fn plugin_install(&self, request: InstallRequest) -> ApiResult<InstallOutcome> {
        self.package_inspect(&request.source).await?;
        if let Some(PluginStanding { name, updated_at }) = &request.replaces {
            self.plugin(name)?;
            let changed = updated_at.is_some_and(|seen| seen != self.summary("pricing").updated_at);
            if changed || self.state.busy.load(Ordering::SeqCst) {
                return Err(ApiError::new(Code::Conflict, "it was changed, or is being changed"));
            }
        }
        Ok(InstallOutcome {
            name: "pricing".parse().unwrap(),
            version: "1.2.0".to_owned(),
            digest: DIGEST.to_owned(),
            action: "installed".to_owned(),
            previous_version: None,
            signature: signature(),
            dry_run: request.dry_run,
            migration: None,
        })
    }

    async fn plugin_uninstall(&self, name: &PluginName) -> ApiResult<StopReport> {
        self.plugin(name).map(|()| StopReport::default())
    }

    async fn plugin_enable(&self, name: &PluginName) -> ApiResult<()> {
        self.plugin(name)?;
        *self.state.enabled.lock() = true;
        Ok(())
    }

    async fn plugin_disable(&self, name: &PluginName) -> ApiResult<StopReport> {
        self.plugin(name)?;
        *self.state.enabled.lock() = false;
        Ok(StopReport::default())
    }

    async fn plugin_reload(&self, name: &PluginName) -> ApiResult<()> {
        self.plugin(name)
    }

    async fn plugin_warm(&self, name: &PluginName) -> ApiResult<usize> {
        self.plugin(name).map(|()| 2)
    }

    async fn plugin_rollback(&self, name: &PluginName, request: RollbackRequest) -> ApiResult<RollbackReport> {
        self.plugin(name)?;
        let migration = MigrationReport {
            from: "1.2.0".to_owned(),
            to: "1.1.0".to_owned(),
            steps: Vec::new(),
            configuration: Some(Vec::new()),
            state: StateChanges::default(),
        };
        Ok(RollbackReport { plugin: name.clone(), dry_run: request.dry_run, lost_writes: 0, migration })
    }

    async fn plugin_health(&self, name: &PluginName) -> ApiResult<HealthInfo> {
        self.plugin(name)?;
        let monitor = self.health(name.as_str());
        Ok(HealthInfo { plugin: name.clone(), status: "healthy".to_owned(), checks: Vec::new(), monitor })
    }

    async fn plugin_signature(&self, name: &PluginName) -> ApiResult<PluginSignature> {
        self.plugin(name)?;
        let (version, digest) = ("1.2.0".to_owned(), DIGEST.to_owned());
        Ok(PluginSignature { plugin: name.clone(), version, digest, signature: signature() })
    }

    async fn plugin_health_list(&self) -> ApiResult<Vec<PluginHealth>> {
        self.allowed()?;
        Ok(vec![self.health("billing"), self.health("pricing")])
    }
}
