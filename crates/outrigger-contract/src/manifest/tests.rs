mod arbitrary;
mod configuration;
mod migrations;
mod problems;
mod schema;

use serde_json::json;

use super::*;

pub(super) const FULL: &str = r#"
name = "hetzner-cloud"
version = "1.2.0"
title = "Hetzner Cloud"
description = "Detects Hetzner Cloud and tunes hosts for it."
authors = ["Ada <ada@example.org>"]
license = "Apache-2.0"
homepage = "https://example.org"
keywords = ["network"]
categories = ["cloud", "operating-system"]

[runtime]
kind = "wasm"
entry = "bin/hetzner_cloud.wasm"
instances = { warm = { max-instances = 2, max-calls = 50 } }

[functions.optimize-network]
title = "Optimise the network"
description = "Sets what is best."
tags = ["network"]
cache = "5m"
rate-limit = { calls = 100, per = "1m", burst = 20 }
timeout = "10s"
concurrency = 4
retry = { attempts = 3, backoff = "250ms" }
read-only = true
destructive = false
idempotent = true
requires-auth = true
requires-admin = false
estimated-time = "500ms"

[functions.reset]
destructive = true
rate-limit = "10/s"

[configuration.api-key]
type = "string"
required = true
secret = true
description = "API token"
minLength = 8

[configuration.regions]
type = "array"
default = ["fsn1"]
uniqueItems = true
[configuration.regions.items]
type = "string"
enum = ["fsn1", "nbg1"]

[configuration.proxy]
type = "object"
title = "Proxy"
additionalProperties = { type = "string" }
[configuration.proxy.properties]
host = { type = "string", format = "hostname", required = true }
port = { type = "integer", minimum = 1, maximum = 65535, examples = [3128] }

[configuration.ratio]
type = "number"
default = 0.5
exclusiveMaximum = 1
required = true

[permissions]
files = [{ path = "/etc/os-release", access = "read" }, { path = "/srv/data/", access = "write" }]
environment = ["LANG"]
http = ["api.hetzner.cloud:443", "*.example.org:443", { host = "localhost:8080", private = true }]
tcp = ["db.example.org:5432"]
plugins = ["pricing.quote", "team-directory.*"]

[dependencies]
pricing = "^1.2"
team-directory = { version = "^1", optional = true }

[hooks."customer.created"]
kind = "event"
description = "A customer was created; carries the customer."

[[subscriptions]]
hook = "customer.created"
function = "reset"
priority = 50
condition = "event.country == 'NO'"
on-error = "disable-after(3)"
timeout = "1s"
description = "Looks up the servers of a new customer."

[[migrations]]
from = "<1.0.0"
rename = { zone = "region" }
remove = ["legacy-mode"]
set = { retries = 3 }
rename-state = { "server/" = "servers/" }
remove-state = ["tmp/"]

[limits]
memory = "128MiB"
timeout = "20s"
cpu = 10
output = 65536
concurrency = 8
log-lines = 10
state = "1 MB"

[health]
interval = "10s"
timeout = 2
failures = 4
successes = 1
restart = "never"
max-restarts = 7
"#;

pub(super) const LEAST: &str = r#"
name = "least"
version = "0.1.0"
title = "Least"
description = "The least manifest."
[runtime]
kind = "wasm"
entry = "least.wasm"
"#;

#[test]
fn all_parts_are_read() {
    let manifest = Manifest::parse(FULL).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&manifest).unwrap(), @r#"
    {
      "name": "hetzner-cloud",
      "version": "1.2.0",
      "title": "Hetzner Cloud",
      "description": "Detects Hetzner Cloud and tunes hosts for it.",
      "authors": [
        "Ada <ada@example.org>"
      ],
      "license": "Apache-2.0",
      "homepage": "https://example.org",
      "keywords": [
        "network"
      ],
      "categories": [
        "cloud",
        "operating-system"
      ],
      "runtime": {
        "kind": "wasm",
        "entry": "bin/hetzner_cloud.wasm",
        "instances": {
          "warm": {
            "max-instances": 2,
            "max-calls": 50
          }
        }
      },
      "functions": {
        "optimize-network": {
          "title": "Optimise the network",
          "description": "Sets what is best.",
          "tags": [
            "network"
          ],
          "cache": "5m",
          "rate-limit": {
            "calls": 100,
            "per": "1m",
            "burst": 20
          },
          "timeout": "10s",
          "concurrency": 4,
          "retry": {
            "attempts": 3,
            "backoff": "250ms"
          },
          "read-only": true,
          "destructive": false,
          "idempotent": true,
          "requires-auth": true,
          "estimated-time": "500ms"
        },
        "reset": {
          "rate-limit": "10/1s",
          "destructive": true
        }
      },
      "configuration": {
        "api-key": {
          "type": "string",
          "description": "API token",
          "required": true,
          "secret": true,
          "minLength": 8
        },
        "regions": {
          "type": "array",
          "default": [
            "fsn1"
          ],
          "items": {
            "type": "string",
            "enum": [
              "fsn1",
              "nbg1"
            ]
          },
          "uniqueItems": true
        },
        "proxy": {
          "type": "object",
          "title": "Proxy",
          "properties": {
            "host": {
              "type": "string",
              "required": true,
              "format": "hostname"
            },
            "port": {
              "type": "integer",
              "examples": [
                3128
              ],
              "minimum": 1,
              "maximum": 65535
            }
          },
          "additionalProperties": {
            "type": "string"
          }
        },
        "ratio": {
          "type": "number",
          "required": true,
          "default": 0.5,
          "exclusiveMaximum": 1
        }
      },
      "permissions": {
        "files": [
          {
            "path": "/etc/os-release",
            "access": "read"
          },
          {
            "path": "/srv/data/",
            "access": "write"
          }
        ],
        "environment": [
          "LANG"
        ],
        "http": [
          "api.hetzner.cloud:443",
          "*.example.org:443",
          {
            "host": "localhost:8080",
            "private": true
          }
        ],
        "tcp": [
          "db.example.org:5432"
        ],
        "plugins": [
          "pricing.quote",
          "team-directory.*"
        ]
      },
      "dependencies": {
        "pricing": "^1.2",
        "team-directory": {
          "version": "^1",
          "optional": true
        }
      },
      "hooks": {
        "customer.created": {
          "kind": "event",
          "description": "A customer was created; carries the customer."
        }
      },
      "subscriptions": [
        {
          "hook": "customer.created",
          "function": "reset",
          "priority": 50,
          "condition": "event.country == 'NO'",
          "on-error": "disable-after(3)",
          "timeout": "1s",
          "description": "Looks up the servers of a new customer."
        }
      ],
      "migrations": [
        {
          "from": "<1.0.0",
          "rename": {
            "zone": "region"
          },
          "remove": [
            "legacy-mode"
          ],
          "set": {
            "retries": 3
          },
          "rename-state": {
            "server/": "servers/"
          },
          "remove-state": [
            "tmp/"
          ]
        }
      ],
      "limits": {
        "memory": "128MiB",
        "timeout": "20s",
        "cpu": "10s",
        "output": "64KiB",
        "concurrency": 8,
        "log-lines": 10,
        "state": "1MB"
      },
      "health": {
        "interval": "10s",
        "timeout": "2s",
        "failures": 4,
        "successes": 1,
        "restart": "never",
        "max-restarts": 7
      }
    }
    "#);
}

#[test]
fn the_least_manifest_has_all_limits() {
    let manifest = Manifest::parse(LEAST).unwrap();
    assert_eq!(manifest.limits, Limits::default());
    assert_eq!(manifest.runtime.instances, InstancePolicy::Fresh);
    assert_eq!(manifest.permissions, Permissions::default());
    insta::assert_snapshot!(serde_json::to_string(&manifest.limits).unwrap(), @r#"{"memory":"64MiB","timeout":"5s","output":"4MiB","concurrency":16,"log-lines":1000,"state":"1MiB"}"#);
    let unknown = manifest.function(&"anything".parse().unwrap());
    assert!(unknown.may_destroy() && !unknown.read_only && unknown.cache.is_none());
}

#[test]
fn a_plugin_is_looked_after_unless_it_says_otherwise() {
    let health = Manifest::parse(LEAST).unwrap().health;
    assert_eq!(health, HealthPolicy::default());
    insta::assert_snapshot!(serde_json::to_string(&health).unwrap(), @r#"{"interval":"30s","timeout":"5s","failures":3,"successes":2,"restart":"on-failure","max-restarts":5}"#);
    for wrong in [
        "interval = \"999ms\"",
        "interval = \"2d\"",
        "timeout = 0",
        "timeout = \"61s\"",
        "failures = 0",
        "successes = 101",
        "restart = \"always\"",
        "max-restarts = 21",
        "retries = 3",
    ] {
        let error = Manifest::parse(&format!("{LEAST}\n[health]\n{wrong}\n")).unwrap_err();
        assert_eq!(error.problems().len(), 1, "{wrong}: {error}");
        assert!(error.problems()[0].key.starts_with("health"), "{error}");
    }
}

#[test]
fn what_is_implied_is_filled_in() {
    let manifest = Manifest::parse(&format!(
        "{LEAST}\n[functions.look]\nread-only = true\nretry = {{ attempts = 2 }}\n[functions.mend]\nrequires-admin = true\n"
    ));
    let manifest = manifest.unwrap();
    let look = manifest.function(&"look".parse().unwrap());
    assert!(look.idempotent && !look.may_destroy());
    assert_eq!(look.retry.unwrap().backoff, Retry::DEFAULT_BACKOFF);
    assert!(manifest.function(&"mend".parse().unwrap()).requires_auth);
}

#[test]
fn json_goes_both_ways() {
    for text in [FULL, LEAST] {
        let manifest = Manifest::parse(text).unwrap();
        let stored = serde_json::to_string(&manifest).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&stored).unwrap(), manifest);
    }
}

#[test]
fn the_json_form_is_checked_too() {
    let mut stored = serde_json::to_value(Manifest::parse(LEAST).unwrap()).unwrap();
    stored["permissions"] = json!({ "udp": [] });
    stored["limits"]["memory"] = json!("1B");
    let error = serde_json::from_value::<Manifest>(stored).unwrap_err().to_string();
    insta::assert_snapshot!(error, @r"
    `limits.memory`: 1B is not between 64KiB and 4GiB
    `permissions.udp`: this permission is refused because the host could not enforce it; the permissions are files, environment, http, tcp, plugins
    ");
}

#[test]
fn package_paths_never_lead_out() {
    for good in ["a.wasm", "bin/a.wasm", "..a/b..", "ä/ö.wasm", "a b"] {
        assert_eq!(good.parse::<PackagePath>().unwrap().as_str(), good);
    }
    for wrong in ["", "/a", "../a", "a/../b", "a/..", "./a", "a//b", "a/", "C:/a", "c:a", "\\a", "a\\b", "a\0", "."] {
        assert!(wrong.parse::<PackagePath>().is_err(), "{wrong}");
    }
    assert!("a".repeat(256).parse::<PackagePath>().is_err());
    assert!("a/".repeat(300).parse::<PackagePath>().is_err());
}
