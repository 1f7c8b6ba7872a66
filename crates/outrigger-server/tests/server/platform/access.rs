//! The keys and the roles. Only a role is kept as it was changed.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use outrigger_api::*;
use time::OffsetDateTime;

use super::{Seen, put};

pub(super) fn role(name: &str) -> RoleInfo {
    RoleInfo {
        name: name.to_owned(),
        description: String::new(),
        allow: vec!["*".to_owned()],
        deny: Vec::new(),
        built_in: false,
    }
}

fn key(name: &str) -> KeyInfo {
    KeyInfo {
        id: "k1".to_owned(),
        name: name.to_owned(),
        roles: vec!["viewer".to_owned()],
        scope: None,
        created_at: OffsetDateTime::UNIX_EPOCH,
        created_by: "local".to_owned(),
        expires_at: None,
        last_used_at: None,
    }
}

#[async_trait]
impl Access for Seen {
    async fn identity(&self) -> ApiResult<Identity> {
        Ok(Identity { name: self.name.clone(), key: None, roles: Vec::new() })
    }

    async fn key_list(&self) -> ApiResult<Vec<KeyInfo>> {
        self.allowed()?;
        Ok(vec![key("ci")])
    }

    async fn key_create(&self, request: KeyRequest) -> ApiResult<NewKey> {
        self.allowed()?;
        let number = self.state.calls.fetch_add(1, Ordering::SeqCst);
        if request.name == "slow" {
            self.state.pass("key").await;
        }
        Ok(NewKey { info: key(&request.name), key: format!("secret-{number}") })
    }

    async fn key_delete(&self, _: &str) -> ApiResult<KeyRevocation> {
        self.allowed().map(|()| KeyRevocation::default())
    }

    async fn role_list(&self) -> ApiResult<Vec<RoleInfo>> {
        self.allowed()?;
        Ok(self.state.roles.lock().clone())
    }

    async fn role_put(&self, name: &str, request: RoleRequest, expected: Option<Fingerprint>) -> ApiResult<RoleInfo> {
        self.allowed()?;
        let RoleRequest { description, allow, deny } = request;
        let new = RoleInfo { description, allow, deny, ..role(name) };
        let mut all = self.state.roles.lock();
        let place = all.iter().position(|role| role.name == name);
        if place.is_some_and(|place| all[place].built_in) {
            return Err(ApiError::new(Code::Conflict, "it is built in"));
        }
        self.check_expected(expected, place.map(|place| all[place].fingerprint()))?;
        put(&mut all, place, new)
    }

    async fn role_delete(&self, _: &str) -> ApiResult<()> {
        self.allowed()
    }

    async fn access_explain(&self, request: ExplainRequest) -> ApiResult<Explanation> {
        self.allowed()?;
        let ExplainRequest { key, right, name } = request;
        let text = "it may".to_owned();
        Ok(Explanation { key, right, name, allowed: true, reason: "allowed".to_owned(), role: None, rule: None, text })
    }

    async fn access_matrix(&self) -> ApiResult<AccessMatrix> {
        self.allowed()?;
        Ok(AccessMatrix { roles: Vec::new(), rows: Vec::new() })
    }
}
