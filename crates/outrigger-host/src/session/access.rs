//! Keys and roles. Nobody can give away more than they have.

mod room;

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use outrigger_api::{
    Access, AccessMatrix, AccessMatrixCell, AccessMatrixRow, ApiError, ApiResult, Code, ExplainRequest, Explanation,
    Fingerprint, FunctionRef, Identity, KeyInfo, KeyRequest, KeyRevocation, NewKey, RoleInfo, RoleRequest,
};
use outrigger_contract::near;
use outrigger_engine::access::{
    Decision, Matrix, MatrixCell, MatrixRow, Principal, Right, Role, RoleName, Rule, built_in_roles,
};
use outrigger_engine::hooks::Source;
use outrigger_engine::jobs::Owner;
use outrigger_engine::store::{KeyRecord, StoreError};
use time::OffsetDateTime;

use super::{Act, Session, Trace, Who};
use crate::{convert, functions, keys};

/// Maximum number of rules in a list of a role, and in the scope of a key. All of them are compared for each object that a
/// key asks for.
const MOST_RULES: usize = 256;

#[async_trait]
impl Access for Session {
    async fn identity(&self) -> ApiResult<Identity> {
        Ok(match &self.who {
            Who::Local => Identity { name: "local".to_owned(), key: None, roles: vec!["admin".to_owned()] },
            Who::Key(principal) => Identity {
                name: principal.name.clone(),
                key: Some(principal.id.clone()),
                roles: principal.roles.iter().map(|role| role.name.to_string()).collect(),
            },
        })
    }

    async fn key_list(&self) -> ApiResult<Vec<KeyInfo>> {
        self.require_some(Right::KEY_VIEW)?;
        let keys = self.host.engine.store().key_list().await.map_err(convert::store_error)?;
        Ok(keys.into_iter().filter(|key| self.may(Right::KEY_VIEW, &key.name)).map(key_info).collect())
    }

    async fn key_create(&self, request: KeyRequest) -> ApiResult<NewKey> {
        let name = request.name.clone();
        self.require(Right::KEY_CREATE, &name)?;
        let (record, key) = self.new_key(request)?;
        let work = async {
            self.check_no_more(&record)?;
            // No other key is made in between.
            let _changing = self.host.keys.change().await;
            let store = self.host.engine.store();
            room::check_key(&store.key_list().await.map_err(convert::store_error)?, &record)?;
            store.key_create(&record).await.map_err(|error| match error.code() {
                Code::Conflict => ApiError::new(Code::AlreadyExists, format!("a key `{}` already exists", record.name)),
                _ => convert::store_error(error),
            })?;
            self.host.keys.refresh().await?;
            let info = key_info(record.clone());
            let after = serde_json::to_value(&info).ok();
            Ok((NewKey { info, key }, Trace { after, ..Trace::default() }))
        };
        self.act(Act::new(Right::KEY_CREATE, &name), work).await
    }

    async fn key_delete(&self, key: &str) -> ApiResult<KeyRevocation> {
        self.require_some(Right::KEY_DELETE)?;
        self.host.keys.refresh().await?;
        let (record, principal) = match self.host.keys.find(key) {
            Ok(found) => found,
            // For a key without the right over this name, the same refusal as if it existed.
            Err(error) => return self.require(Right::KEY_DELETE, key).and(Err(error)),
        };
        let (id, name) = (record.id.clone(), record.name.clone());
        let work = async {
            let before = serde_json::to_value(key_info(record)).ok();
            self.host.engine.store().key_delete(&id).await.map_err(convert::store_error)?;
            self.host.keys.refresh().await?;
            // The key is revoked, even if this list cannot be read.
            let left = self.left_by(&principal).await.unwrap_or_else(|error| {
                tracing::warn!(%error, key = principal.name, "failed to list the remaining resources of a revoked key");
                KeyRevocation::default()
            });
            Ok((left, Trace { before, ..Trace::default() }))
        };
        self.act(Act::destroys(Right::KEY_DELETE, &name), work).await
    }

    async fn role_list(&self) -> ApiResult<Vec<RoleInfo>> {
        self.require_some(Right::ROLE_VIEW)?;
        let roles = self.host.keys.roles();
        let seen = roles.iter().filter(|role| self.may(Right::ROLE_VIEW, role.name.as_str()));
        Ok(seen.map(|role| role_info(role)).collect())
    }

    async fn role_put(&self, name: &str, request: RoleRequest, expected: Option<Fingerprint>) -> ApiResult<RoleInfo> {
        self.require(Right::ROLE_CREATE, name)?;
        let RoleRequest { description, allow, deny } = request;
        check_length(&description, &allow, &deny)?;
        let role = Role { name: role_name(name)?, description, allow: rules(&allow)?, deny: rules(&deny)? };
        refuse_built_in(&role.name)?;
        let work = async {
            // The checked version is the one that is changed.
            let _changing = self.host.keys.change().await;
            self.host.keys.refresh().await?;
            let present = self.host.keys.role(&role.name);
            let fingerprint = present.as_deref().map(|role| role_info(role).fingerprint());
            if expected.is_some() && expected != fingerprint {
                return Err(convert::store_error(StoreError::Conflict { what: format!("the role {name}") }));
            }
            self.check_rules(&role.allow, "the role would allow")?;
            self.check_rules(&lifted(present.as_deref(), &role), "the role would no longer deny")?;
            room::check_role(&self.host.engine.store().role_list().await.map_err(convert::store_error)?, &role)?;
            let before = present.and_then(|role| serde_json::to_value(&*role).ok());
            self.host.engine.store().role_put(&role).await.map_err(convert::store_error)?;
            self.host.keys.refresh().await?;
            let after = serde_json::to_value(&role).ok();
            Ok((role_info(&role), Trace { before, after, revision: None }))
        };
        self.act(Act::new(Right::ROLE_CREATE, name), work).await
    }

    async fn role_delete(&self, name: &str) -> ApiResult<()> {
        self.require(Right::ROLE_DELETE, name)?;
        let role = role_name(name)?;
        refuse_built_in(&role)?;
        let work = async {
            // Nor is it made again by a change to the one that was there.
            let _changing = self.host.keys.change().await;
            let before = self.host.keys.role(&role).and_then(|role| serde_json::to_value(&*role).ok());
            let removed = self.host.engine.store().role_delete(&role).await.map_err(|error| match error.code() {
                Code::Conflict => ApiError::new(Code::Conflict, format!("a key still has the role `{role}`"))
                    .with_hint("revoke the keys that have it first; `outrigger access key list` shows them"),
                _ => convert::store_error(error),
            })?;
            if !removed {
                return Err(ApiError::new(Code::NotFound, format!("there is no role `{role}`"))
                    .with_hint("`outrigger access role list` shows the roles"));
            }
            self.host.keys.refresh().await?;
            Ok(((), Trace { before, ..Trace::default() }))
        };
        self.act(Act::destroys(Right::ROLE_DELETE, name), work).await
    }

    async fn access_explain(&self, request: ExplainRequest) -> ApiResult<Explanation> {
        self.require_some(Right::ROLE_VIEW)?;
        let ExplainRequest { key, right, name } = request;
        let right: Right = right.parse().map_err(|error| invalid(&error))?;
        self.host.keys.refresh().await?;
        let (record, principal) = match self.host.keys.find(&key) {
            Ok(found) if self.sees_key(&found.0) => found,
            // The same refusal, whether there is such a key or not.
            _ => return self.require(Right::KEY_VIEW, &key).and(Err(keys::not_found(&key))),
        };
        let also = self.also_needed(right, &name).await?;
        Ok(explanation(&record, &principal, right, also, name))
    }

    async fn access_matrix(&self) -> ApiResult<AccessMatrix> {
        self.require_some(Right::ROLE_VIEW)?;
        let roles = self.host.keys.roles();
        let seen = roles.iter().filter(|role| self.may(Right::ROLE_VIEW, role.name.as_str()));
        let roles: Vec<Role> = seen.map(|role| (**role).clone()).collect();
        let Matrix { roles, rows } = Matrix::of(&roles);
        let row = |row: MatrixRow| {
            let MatrixRow { right, cells } = row;
            let info = right.info();
            AccessMatrixRow {
                right: right.to_string(),
                meaning: info.meaning.to_owned(),
                over: info.over.to_owned(),
                cells: cells.into_iter().map(|MatrixCell { allow, deny }| AccessMatrixCell { allow, deny }).collect(),
            }
        };
        Ok(AccessMatrix {
            roles: roles.iter().map(ToString::to_string).collect(),
            rows: rows.into_iter().map(row).collect(),
        })
    }
}

impl Session {
    /// An administrator's key, where there is no key at all yet.
    pub(crate) async fn first_key(&self) -> ApiResult<Option<NewKey>> {
        let request = KeyRequest {
            name: "administrator".to_owned(),
            roles: vec!["admin".to_owned()],
            scope: None,
            expires_in_s: None,
        };
        let (record, key) = self.new_key(request)?;
        let added = self.host.engine.store().key_create_first(&record).await.map_err(convert::store_error)?;
        if !added {
            return Ok(None);
        }
        self.host.keys.refresh().await?;
        let info = key_info(record);
        let after = serde_json::to_value(&info).ok();
        let work = async { Ok(((), Trace { after, ..Trace::default() })) };
        self.act(Act::new(Right::KEY_CREATE, &info.name), work).await?;
        Ok(Some(NewKey { info, key }))
    }

    /// The remaining resources of a revoked key, as far as the caller may see them.
    async fn left_by(&self, key: &Principal) -> ApiResult<KeyRevocation> {
        let (engine, by) = (&self.host.engine, key.to_string());
        let store = engine.store();
        let webhooks = store.webhook_list().await.map_err(convert::store_error)?;
        let schedules = store.schedule_list().await.map_err(convert::store_error)?;
        let grants = store.grant_list().await.map_err(convert::store_error)?;
        let keys = store.key_list().await.map_err(convert::store_error)?;

        let is_its = |owner: &Owner| owner.key.as_deref() == Some(key.id.as_str());
        let subscriptions = engine.subscriptions().into_iter().filter(|one| {
            one.source == Source::Api && one.created_by == by && self.may(Right::HOOK_VIEW, one.hook.as_str())
        });
        let webhooks = webhooks.into_iter().filter(|webhook| {
            webhook.set_by.as_ref().is_some_and(is_its) && self.may(Right::WEBHOOK_VIEW, webhook.name.as_str())
        });
        let schedules = schedules.into_iter().filter(|schedule| {
            is_its(&schedule.owner) && self.may(Right::JOB_VIEW, &schedule.task.function.to_string())
        });
        let granted = grants.into_iter().filter(|record| record.granted_by == by && !record.grant.is_empty());
        let granted: HashSet<_> = granted.map(|record| record.digest).collect();
        let plugins =
            engine.plugins().into_iter().map(|(plugin, _)| plugin).filter(|plugin| {
                granted.contains(&plugin.active) && self.may(Right::PLUGIN_VIEW, plugin.name.as_str())
            });
        let keys = keys.into_iter().filter(|made| made.created_by == by && self.may(Right::KEY_VIEW, &made.name));
        Ok(KeyRevocation {
            subscriptions: subscriptions.map(|subscription| subscription.id).collect(),
            webhooks: webhooks.map(|webhook| webhook.name.to_string()).collect(),
            schedules: schedules.map(|schedule| schedule.name).collect(),
            grants: plugins.map(|plugin| plugin.name.to_string()).collect(),
            keys: keys.map(|key| key.name).collect(),
        })
    }

    /// Whether the caller may see a key: its own, and those that it has the right to.
    fn sees_key(&self, key: &KeyRecord) -> bool {
        let is_own = matches!(&self.who, Who::Key(caller) if caller.id == key.id);
        is_own || self.may(Right::KEY_VIEW, &key.name)
    }

    /// The right that calling this function requires besides `function_execute`.
    async fn also_needed(&self, right: Right, name: &str) -> ApiResult<Option<Right>> {
        let Ok(function) = name.parse::<FunctionRef>() else { return Ok(None) };
        let administered =
            right == Right::FUNCTION_EXECUTE && functions::is_for_administrators(&self.host.engine, &function).await?;
        Ok(administered.then_some(Right::FUNCTION_ADMINISTER))
    }

    fn new_key(&self, request: KeyRequest) -> ApiResult<(KeyRecord, String)> {
        let KeyRequest { name, roles, scope, expires_in_s } = request;
        let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > 64 || !name.chars().all(sound) {
            let message = format!("`{name}` is not a valid key name");
            let hint = "a name has 1 to 64 letters, digits, `.`, `_` and `-`";
            return Err(ApiError::new(Code::InvalidInput, message).with_hint(hint));
        }
        if roles.is_empty() || roles.len() > 32 {
            let hint = "built-in roles are admin, operator, developer and viewer";
            return Err(ApiError::new(Code::InvalidInput, "a key has 1 to 32 roles").with_hint(hint));
        }
        if scope.as_ref().is_some_and(|scope| scope.len() > MOST_RULES) {
            let hint = "a scope has at most 256 rules; a rule such as `plugin_view:eu-*` is for many names";
            return Err(ApiError::new(Code::InvalidInput, "the scope has too many rules").with_hint(hint));
        }
        let roles = roles.iter().map(|role| self.known_role(role)).collect::<ApiResult<_>>()?;
        let created_at = OffsetDateTime::now_utc();
        let expires_at = match (expires_in_s, &self.who) {
            (Some(seconds), _) => Some(expiry(created_at, seconds)?),
            (None, Who::Key(maker)) => maker.expires_at,
            (None, Who::Local) => None,
        };
        let (id, key, hash) = keys::generate()?;
        let record = KeyRecord {
            id,
            name,
            hash,
            roles,
            scope: scope.as_deref().map(rules).transpose()?,
            created_at,
            created_by: self.caller().to_string(),
            expires_at,
            last_used_at: None,
        };
        Ok((record, key))
    }

    fn known_role(&self, name: &str) -> ApiResult<RoleName> {
        let role = role_name(name)?;
        match self.host.keys.role(&role) {
            Some(_) => Ok(role),
            None => {
                let roles = self.host.keys.roles();
                let known = roles.iter().map(|role| role.name.as_str());
                let hint = match near::nearest(name, known.clone()) {
                    Some(nearest) => format!("did you mean `{nearest}`?"),
                    None => format!("there are {}", near::list(known)),
                };
                Err(ApiError::new(Code::InvalidInput, format!("there is no role `{name}`")).with_hint(hint))
            }
        }
    }

    /// A key can be given no more than its maker has, and not for longer.
    fn check_no_more(&self, record: &KeyRecord) -> ApiResult<()> {
        let Who::Key(maker) = &self.who else { return Ok(()) };
        if let Some(end) = maker.expires_at.filter(|end| record.expires_at.is_none_or(|expires| expires > *end)) {
            let message =
                format!("the key would work for longer than the key `{}`, which expires at {end}", maker.name);
            let hint = "leave the expiry out, and the key expires with the key that creates it";
            return Err(ApiError::new(Code::Forbidden, message).with_hint(hint));
        }
        // A key with roles of its maker, among them all that deny something, and no wider scope has nothing that its maker
        // lacks.
        let same_roles = record.roles.iter().all(|role| maker.roles.iter().any(|of| of.name == *role))
            && maker.roles.iter().all(|of| of.deny.is_empty() || record.roles.contains(&of.name));
        let scoped = match (&maker.scope, &record.scope) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(new)) => new.iter().all(|new| own.iter().any(|own| own.contains(new))),
        };
        if same_roles && scoped {
            return Ok(());
        }
        let roles: Vec<_> = record.roles.iter().filter_map(|role| self.host.keys.role(role)).collect();
        let allowed: Vec<Rule> = match &record.scope {
            Some(scope) => scope.clone(),
            None => roles.iter().flat_map(|role| role.allow.iter().cloned()).collect(),
        };
        self.check_rules(&allowed, "the key would allow")
    }

    /// Refuses rules that reach beyond what the caller has.
    fn check_rules(&self, rules: &[Rule], what: &str) -> ApiResult<()> {
        let Who::Key(maker) = &self.who else { return Ok(()) };
        match rules.iter().find(|rule| !maker.has_all_of(rule)) {
            None => Ok(()),
            Some(rule) => {
                let message = format!("{what} `{rule}`, which the key `{}` does not have", maker.name);
                Err(ApiError::new(Code::Forbidden, message))
            }
        }
    }
}

/// The rules that a role denies now, and would no longer deny.
fn lifted(present: Option<&Role>, new: &Role) -> Vec<Rule> {
    let denied = present.map(|role| role.deny.as_slice()).unwrap_or_default();
    denied.iter().filter(|rule| !new.deny.iter().any(|of| of.contains(rule))).cloned().collect()
}

fn expiry(from: OffsetDateTime, seconds: u64) -> ApiResult<OffsetDateTime> {
    let too_far = || {
        ApiError::new(Code::InvalidInput, "the key would expire immediately, or in more than 100 years")
            .with_hint("give an expiry from 1 second to 100 years, or none")
    };
    let within = (1..=100 * 366 * 86_400).contains(&seconds);
    match within {
        true => from.checked_add(Duration::from_secs(seconds).try_into().map_err(|_| too_far())?).ok_or_else(too_far),
        false => Err(too_far()),
    }
}

fn refuse_built_in(name: &RoleName) -> ApiResult<()> {
    match built_in_roles().iter().any(|role| role.name == *name) {
        false => Ok(()),
        true => Err(ApiError::new(Code::Conflict, format!("the role `{name}` is built in and cannot be changed"))
            .with_hint("create a role with another name")),
    }
}

/// A role is for people to read.
fn check_length(description: &str, allow: &[String], deny: &[String]) -> ApiResult<()> {
    let too_long = description.chars().count() > 200 || allow.len() > MOST_RULES || deny.len() > MOST_RULES;
    match too_long {
        false => Ok(()),
        true => Err(ApiError::new(Code::InvalidInput, "the description or the lists of rules are too long")
            .with_hint("a description has at most 200 characters, and each list at most 256 rules")),
    }
}

fn role_name(text: &str) -> ApiResult<RoleName> {
    text.parse().map_err(|error| invalid(&error))
}

fn rules(texts: &[String]) -> ApiResult<Vec<Rule>> {
    texts.iter().map(|text| text.parse().map_err(|error| invalid(&error))).collect()
}

fn invalid(error: &dyn std::error::Error) -> ApiError {
    ApiError::new(Code::InvalidInput, error.to_string())
        .with_hint("`outrigger access matrix` lists all rights and the roles that allow them")
}

fn key_info(record: KeyRecord) -> KeyInfo {
    let KeyRecord { id, name, hash: _, roles, scope, created_at, created_by, expires_at, last_used_at } = record;
    let texts = |rules: Vec<Rule>| rules.iter().map(ToString::to_string).collect();
    KeyInfo {
        id,
        name,
        roles: roles.iter().map(ToString::to_string).collect(),
        scope: scope.map(texts),
        created_at,
        created_by,
        expires_at,
        last_used_at,
    }
}

fn role_info(role: &Role) -> RoleInfo {
    let Role { name, description, allow, deny } = role;
    let texts = |rules: &[Rule]| rules.iter().map(ToString::to_string).collect();
    RoleInfo {
        name: name.to_string(),
        description: description.clone(),
        allow: texts(allow),
        deny: texts(deny),
        built_in: built_in_roles().iter().any(|built_in| built_in.name == *name),
    }
}

/// Why a key has a right, and the other one that is needed with it, or lacks one of them.
fn explanation(
    record: &KeyRecord,
    principal: &Principal,
    right: Right,
    also: Option<Right>,
    name: String,
) -> Explanation {
    let decision = principal.decide(right, &name);
    let lacking = also
        .filter(|_| decision.is_allowed())
        .map(|also| (also, principal.decide(also, &name)))
        .filter(|(_, decision)| !decision.is_allowed());
    let (decided, decision, what) = match lacking {
        None => (right, decision, String::new()),
        Some((also, decision)) => {
            (also, decision, format!("the function is for administrators and also requires {also}: "))
        }
    };
    let expired = principal.has_expired(OffsetDateTime::now_utc());
    let allowed = decision.is_allowed() && !expired;
    let (reason, role, rule) = match &decision {
        _ if expired => ("expired", None, None),
        Decision::Allowed { role, rule } => ("allowed", Some(role), Some(rule)),
        Decision::Denied { role, rule } => ("denied", Some(role), Some(rule)),
        Decision::OutOfScope => ("out_of_scope", None, None),
        Decision::NoRule => ("no_rule", None, None),
    };
    let verdict = if allowed { "is allowed" } else { "is not allowed" };
    let why = if expired { "it has expired".to_owned() } else { format!("{what}{decision}") };
    Explanation {
        key: record.name.clone(),
        right: decided.to_string(),
        allowed,
        reason: reason.to_owned(),
        role: role.map(ToString::to_string),
        rule: rule.map(ToString::to_string),
        text: format!("key `{}` {verdict} `{}` on `{name}`: {why}", record.name, right),
        name,
    }
}
