//! Keys, roles, and why something is allowed or refused.

use outrigger_api::{
    AccessMatrix, ApiError, ApiResult, Code, ExplainRequest, Explanation, Identity, KeyInfo, KeyRequest, KeyRevocation,
    NewKey, RoleInfo, RoleRequest,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::endpoint::answer::{Created, Done, Reply, Tagged};
use crate::endpoint::api::Api;
use crate::endpoint::input::{Input, NoBody};
use crate::endpoint::who::Caller;
use crate::endpoint::{NoPath, NoQuery};
use crate::etag::{self, Demand, ETag};
use crate::page::List;

const TAG: &str = "Access";

pub fn routes(api: &mut Api) {
    api.get("/api/v1/identity", "identity", identity).tag(TAG).summary("Show the caller's identity and rights");
    api.get("/api/v1/keys", "key_list", keys)
        .tag(TAG)
        .summary("List the keys, without their secret parts")
        .right("key_view");
    api.post("/api/v1/keys", "key_create", create_key)
        .tag(TAG)
        .summary("Create a key")
        .describe(
            "The key is shown only in this response. It cannot have more rights than its creator, and does not \
             outlive it.",
        )
        .right("key_create")
        .example(json!({"name": "ci-deploy", "roles": ["viewer"], "scope": ["plugin_view"]}))
        .fails(&[Code::AlreadyExists, Code::NotFound]);
    api.delete("/api/v1/keys/{key_id}", "key_delete", delete_key)
        .tag(TAG)
        .summary("Revoke a key")
        .describe("Revoking a key does not undo its changes. The response lists the resources of the key that remain.")
        .right("key_delete")
        .fails(&[Code::NotFound, Code::Conflict]);
    api.get("/api/v1/roles", "role_list", roles).tag(TAG).summary("List the roles").right("role_view");
    api.get("/api/v1/roles/{role}", "role_fetch", role)
        .tag(TAG)
        .summary("Show a role")
        .describe("The ETag covers the role's rules and its description.")
        .right("role_view")
        .fails(&[Code::NotFound]);
    api.put("/api/v1/roles/{role}", "role_put", put_role)
        .tag(TAG)
        .summary("Create or change a role")
        .right("role_create")
        .example(json!({"description": "Deploys", "allow": ["function_execute:pricing.*"], "deny": []}))
        .takes_if_match()
        .fails(&[Code::Conflict, Code::AlreadyExists, Code::NotFound]);
    api.delete("/api/v1/roles/{role}", "role_delete", delete_role)
        .tag(TAG)
        .summary("Remove a role that no key has")
        .right("role_delete")
        .fails(&[Code::NotFound, Code::Conflict, Code::InvalidInput]);
    api.post("/api/v1/access/explain", "access_explain", explain)
        .tag(TAG)
        .summary("Explain whether a key is allowed to do something")
        .describe("For another key than the caller's own, this also requires the right `key_view`.")
        .right("role_view")
        .example(json!({"key": "ci-deploy", "right": "function_execute", "name": "pricing.quote"}))
        .fails(&[Code::NotFound]);
    api.get("/api/v1/access/matrix", "access_matrix", matrix)
        .tag(TAG)
        .summary("List the rights of each role")
        .right("role_view");
}

/// The path of a key.
#[derive(Debug, Deserialize, JsonSchema)]
struct KeyPath {
    /// Its id or its name.
    #[schemars(length(min = 1), example = &"ci-deploy")]
    key_id: String,
}

/// The path of a role.
#[derive(Debug, Deserialize, JsonSchema)]
struct RolePath {
    /// Its name.
    #[schemars(regex(pattern = outrigger_api::ROLE_NAME), example = &"deployer")]
    role: String,
}

async fn identity(caller: Caller, _: Input<NoPath, NoQuery, NoBody>) -> ApiResult<Reply<Identity>> {
    caller.platform.identity().await.map(Reply)
}

async fn keys(caller: Caller, _: Input<NoPath, NoQuery, NoBody>) -> ApiResult<Reply<List<KeyInfo>>> {
    let items = caller.platform.key_list().await?;
    Ok(Reply(List { items }))
}

async fn create_key(caller: Caller, input: Input<NoPath, NoQuery, KeyRequest>) -> ApiResult<Created<NewKey>> {
    let key = caller.platform.key_create(input.body).await?;
    let location = format!("/api/v1/keys/{}", key.info.id);
    Ok(Created(key, location))
}

async fn delete_key(caller: Caller, input: Input<KeyPath, NoQuery, NoBody>) -> ApiResult<Reply<KeyRevocation>> {
    caller.platform.key_delete(&input.path.key_id).await.map(Reply)
}

async fn roles(caller: Caller, _: Input<NoPath, NoQuery, NoBody>) -> ApiResult<Reply<List<RoleInfo>>> {
    let items = caller.platform.role_list().await?;
    Ok(Reply(List { items }))
}

async fn role(caller: Caller, input: Input<RolePath, NoQuery, NoBody>) -> ApiResult<Tagged<RoleInfo>> {
    let name = input.path.role;
    let found = find_role(&caller, &name).await?;
    found.map(tagged).ok_or_else(|| {
        ApiError::new(Code::NotFound, format!("there is no role `{name}`"))
            .with_hint("`GET /api/v1/roles` lists the roles")
    })
}

async fn put_role(caller: Caller, input: Input<RolePath, NoQuery, RoleRequest>) -> ApiResult<Tagged<RoleInfo>> {
    let demand = Demand::read(input.if_match.as_ref())?;
    let name = input.path.role;
    let present = match demand {
        Demand::Nothing => None,
        Demand::Something | Demand::OneOf(_) => find_role(&caller, &name).await?,
    };
    let expected = demand.expected(present.as_ref().map(RoleInfo::fingerprint))?;
    // A built-in one cannot be changed: the ETag is not to blame.
    let depends = expected.is_some() && !present.is_some_and(|role| role.built_in);
    let put = caller.platform.role_put(&name, input.body, expected).await;
    put.map(tagged).map_err(|error| if depends { etag::stale(error) } else { error })
}

async fn find_role(caller: &Caller, name: &str) -> ApiResult<Option<RoleInfo>> {
    Ok(caller.platform.role_list().await?.into_iter().find(|role| role.name == name))
}

fn tagged(role: RoleInfo) -> Tagged<RoleInfo> {
    let tag = ETag::of(role.fingerprint());
    Tagged(role, tag)
}

async fn delete_role(caller: Caller, input: Input<RolePath, NoQuery, NoBody>) -> ApiResult<Done> {
    caller.platform.role_delete(&input.path.role).await.map(|()| Done)
}

async fn explain(caller: Caller, input: Input<NoPath, NoQuery, ExplainRequest>) -> ApiResult<Reply<Explanation>> {
    caller.platform.access_explain(input.body).await.map(Reply)
}

async fn matrix(caller: Caller, _: Input<NoPath, NoQuery, NoBody>) -> ApiResult<Reply<AccessMatrix>> {
    caller.platform.access_matrix().await.map(Reply)
}
