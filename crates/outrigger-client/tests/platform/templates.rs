//! Templates, whichever way the platform is reached.

use std::collections::BTreeMap;

use outrigger_api::{AuditQuery, Code, KeyRequest, Template, TemplateValues, TemplateVariable};

use crate::places::{Place, WAYS, Way, everywhere};

everywhere! {
    templates_are_added_changed_rendered_and_removed
    built_in_templates_are_there_and_stay
    a_template_that_does_not_render_is_not_kept
}

fn template(name: &str, text: &str) -> Template {
    Template {
        name: name.parse().expect("a name"),
        description: "What our team begins with".to_owned(),
        runtime: "wasm".to_owned(),
        language: "rust".to_owned(),
        variables: vec![TemplateVariable {
            name: "team".to_owned(),
            description: String::new(),
            default: "operations".to_owned(),
        }],
        files: BTreeMap::from([("README.md".parse().expect("a path"), text.to_owned())]),
    }
}

fn values(team: Option<&str>) -> TemplateValues {
    let variables = team.map(|team| ("team".to_owned(), team.to_owned()));
    TemplateValues {
        variables: variables.into_iter().collect(),
        ..TemplateValues::new("disk-report".parse().expect("a name"))
    }
}

mod behaviour {
    use super::*;

    pub async fn templates_are_added_changed_rendered_and_removed(place: &Place, way: Way) {
        let platform = &place.platform;
        let first = template("ours", "{{ title }} of {{ team }}\n");
        let made = platform.template_create(first.clone()).await.expect("it is sound");
        assert_eq!((made.revision(), made.built_in, made.files.len()), (1, false, 1), "{way:?}");
        let by = if matches!(way, Way::Http) { "key administrator" } else { "local" };
        assert_eq!(made.made.as_ref().expect("somebody made it").created_by, by);
        assert_eq!(platform.template_fetch(&first.name).await.expect("it is there"), made);
        let error = platform.template_create(first.clone()).await.expect_err("it is there already");
        assert_eq!(error.code, Code::AlreadyExists);

        let rendered = platform.template_render(&first.name, values(None)).await.expect("it renders");
        assert_eq!(rendered.files.into_values().collect::<Vec<_>>(), ["Disk report of operations\n"]);
        let rendered = platform.template_render(&first.name, values(Some("storage"))).await.expect("it renders");
        assert_eq!(rendered.files.into_values().collect::<Vec<_>>(), ["Disk report of storage\n"]);
        let mut unknown = values(None);
        unknown.variables.insert("taem".to_owned(), "x".to_owned());
        let error = platform.template_render(&first.name, unknown).await.expect_err("it has no such variable");
        assert_eq!((error.code, error.hint.as_str()), (Code::InvalidInput, "it has team"));

        let second = template("ours", "{{ name }}");
        let put = async |template: &Template, expected| {
            let put = platform.template_put(template.clone(), expected).await;
            put.map(|info| info.revision()).map_err(|error| error.code)
        };
        assert_eq!(put(&second, Some(1)).await, Ok(2));
        assert_eq!(put(&first, Some(1)).await, Err(Code::Conflict));
        assert_eq!(put(&second, None).await, Ok(3));
        assert_eq!(put(&template("none", "x"), None).await, Err(Code::NotFound));
        let names: Vec<_> = platform.template_list().await.expect("it lists");
        let names: Vec<_> = names.iter().map(|template| (template.name.as_str(), template.built_in)).collect();
        assert_eq!(names, [("ours", false), ("rust", true), ("rust-service", true)]);

        platform.template_delete(&first.name).await.expect("it is there");
        assert_eq!(platform.template_delete(&first.name).await.expect_err("it is gone").code, Code::NotFound);
        assert_eq!(platform.template_fetch(&first.name).await.expect_err("it is gone").code, Code::NotFound);
        let query = AuditQuery { action: Some("template_update".to_owned()), ..AuditQuery::default() };
        let records = platform.audit_list(&query).await.expect("it lists");
        let succeeded = records.iter().filter(|record| record.after.is_some()).count();
        assert_eq!(succeeded, 2, "{records:#?}");
    }

    pub async fn built_in_templates_are_there_and_stay(place: &Place, way: Way) {
        let platform = &place.platform;
        for name in ["rust", "rust-service"] {
            let name = name.parse().expect("a name");
            let info = platform.template_fetch(&name).await.expect("it is there");
            assert!(info.built_in && info.made.is_none() && info.revision() == 0, "{way:?}");
            let rendered = platform.template_render(&name, TemplateValues::new("x".parse().expect("a name"))).await;
            let rendered = rendered.expect("it renders");
            assert!(rendered.files.keys().eq(info.files.keys()));
            let codes = [
                platform.template_create(template(name.as_str(), "x")).await.map(drop),
                platform.template_put(template(name.as_str(), "x"), None).await.map(drop),
                platform.template_delete(&name).await,
            ]
            .map(|outcome| outcome.expect_err("it is built in").code);
            assert_eq!(codes, [Code::AlreadyExists, Code::Conflict, Code::Conflict]);
        }
    }

    pub async fn a_template_that_does_not_render_is_not_kept(place: &Place, way: Way) {
        let platform = &place.platform;
        let error = platform.template_create(template("ours", "one\n{{ nmae }}")).await.expect_err("it is wrong");
        assert_eq!(error.code, Code::InvalidTemplate, "{way:?}");
        assert!(error.message.starts_with("`README.md`, line 2: `nmae` is not known"), "{}", error.message);
        platform.template_create(template("ours", "one")).await.expect("it is sound");
        let error = platform.template_put(template("ours", "{% for x in y %}"), None).await.expect_err("it is wrong");
        assert_eq!(error.code, Code::InvalidTemplate);
        let kept = platform.template_fetch(&"ours".parse().expect("a name")).await.expect("it is there");
        assert_eq!((kept.revision(), kept.files.into_values().collect::<Vec<_>>()), (1, vec!["one".to_owned()]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn templates_take_rights_of_their_own() {
    use outrigger_api::Templates as _;
    let place = Place::new(Way::Http).await;
    let key = async |name: &str, role: &str, scope: Option<&str>| {
        let request = KeyRequest {
            name: name.to_owned(),
            roles: vec![role.to_owned()],
            scope: scope.map(|scope| vec![scope.to_owned()]),
            expires_in_s: None,
        };
        place.client(&place.platform.key_create(request).await.expect("it is made").key)
    };
    let viewer = key("viewer", "viewer", None).await;
    let developer = key("developer", "developer", None).await;
    let narrow = key("narrow", "developer", Some("template_*:ours*")).await;
    assert_eq!(viewer.template_list().await.expect("it may look").len(), 2);
    let error = viewer.template_create(template("ours", "x")).await.expect_err("it may only look");
    assert!(error.message.contains("template_create"), "{}", error.message);
    developer.template_create(template("ours", "x")).await.expect("it may");
    developer.template_create(template("theirs", "x")).await.expect("it may");
    let seen = narrow.template_list().await.expect("it may look");
    assert_eq!(seen.iter().map(|template| template.name.as_str()).collect::<Vec<_>>(), ["ours"]);
    let theirs = "theirs".parse().expect("a name");
    for error in [
        narrow.template_put(template("theirs", "y"), None).await.map(drop),
        narrow.template_delete(&theirs).await,
        narrow.template_render(&theirs, values(None)).await.map(drop),
        narrow.template_fetch(&theirs).await.map(drop),
    ] {
        assert_eq!(error.expect_err("it lies outside the scope").code, Code::Forbidden);
    }
    narrow.template_put(template("ours", "y"), Some(1)).await.expect("it may");
    place.close().await;
}
