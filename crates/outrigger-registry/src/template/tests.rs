use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use outrigger_contract::{Code, Template, TemplateValues, TemplateVariable};
use outrigger_testkit::traps;

use super::*;

fn template(files: &[(&str, &str)]) -> Template {
    let file = |(path, text): &(&str, &str)| (path.parse().expect("a path"), (*text).to_owned());
    Template {
        name: "team".parse().expect("a name"),
        description: "For tests.".to_owned(),
        runtime: "wasm".to_owned(),
        language: "rust".to_owned(),
        variables: vec![TemplateVariable {
            name: "port".to_owned(),
            description: "Where it listens".to_owned(),
            default: "80".to_owned(),
        }],
        files: files.iter().map(file).collect(),
    }
}

fn values() -> TemplateValues {
    TemplateValues::new("disk-report_2".parse().expect("a name"))
}

#[track_caller]
fn refused(template: &Template) -> String {
    let error = check_template(template).expect_err("it is refused");
    assert_eq!(error.code(), Code::InvalidTemplate, "{error}");
    error.to_string()
}

#[test]
fn built_in_templates_are_sound_and_in_order() {
    let names: Vec<_> = built_in_templates().iter().map(|template| template.name.to_string()).collect();
    assert_eq!(names, ["rust", "rust-service"]);
    for template in built_in_templates() {
        check_template(template).unwrap_or_else(|error| panic!("{}: {error}", template.name));
    }
}

#[test]
fn placeholders_are_filled_in() {
    let check = |text: &str, expected: &str| {
        let template = template(&[("a.txt", text)]);
        check_template(&template).unwrap_or_else(|error| panic!("{text}: {error}"));
        let mut values = values();
        values.author = Some("Ada \"the\" \\ author".to_owned());
        let files = render_template(&template, &values).expect("it renders");
        assert_eq!(files[&"a.txt".parse().expect("a path")], expected, "{text}");
    };
    check("{{ name }} is {{ title }} at {{ port }}.\n", "disk-report_2 is Disk report 2 at 80.\n");
    check("{{ name | kebab }} {{ name | snake }} {{ name | pascal }}", "disk-report-2 disk_report_2 DiskReport2");
    check("{{ title | upper }}{{ title | lower }}", "DISK REPORT 2disk report 2");
    check("{{ author | toml }} {{ author | json }}", r#""Ada \"the\" \\ author" "Ada \"the\" \\ author""#);
    check("{% if description %}\nyes\n{% else %}\nno\n{% endif %}\nend", "no\nend");
    check("{{ description or 'nothing' }}", "nothing");
    check("{% raw %}{{ left }} {% as it is %}{% endraw %} {# gone #}{{ '}}' }}", "{{ left }} {% as it is %} }}");
    check("let x = format!(\"{x}\"); // { { } }\r\n", "let x = format!(\"{x}\"); // { { } }\r\n");
    check("", "");
}

#[test]
fn values_are_those_that_the_template_knows() {
    let template = template(&[("a", "{{ port }}")]);
    let mut values = values();
    values.variables.insert("port".to_owned(), "8080".to_owned());
    let files = render_template(&template, &values).expect("it renders");
    assert_eq!(files.into_values().collect::<Vec<_>>(), ["8080"]);
    let mut check = |name: &str, value: &str, expected: &str| {
        values.variables = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let error = render_template(&template, &values).expect_err(name);
        assert_eq!(error.code(), Code::InvalidInput);
        assert!(error.to_string().contains(expected), "{error}");
        error.hint()
    };
    assert_eq!(check("prot", "1", "has no variable `prot`").expect("a hint"), "it has port");
    check("name", "other", "has no variable `name`");
    check("port", "1\n2", "line break");
    check("port", &"x".repeat(2_001), "too long");
    let broken = TemplateValues { title: Some("a\nb".to_owned()), ..self::values() };
    assert!(render_template(&template, &broken).expect_err("two lines").to_string().contains("`title`"));
}

#[test]
fn a_template_that_does_not_render_is_refused_with_file_and_line() {
    let check = |text: &str, expected: &str| {
        let told = refused(&template(&[("fine", "{{ name }}"), ("src/lib.rs", text)]));
        assert!(told.starts_with("`src/lib.rs`, line ") && told.contains(expected), "{text}: {told}");
    };
    check("one\n\n{{ nmae }}", "line 3: `nmae` is not known; there are author, description, name, port, title");
    // Also where no plugin ever gets to it.
    check("{% if false %}\n{{ nmae }}{% endif %}", "line 2: `nmae` is not known");
    check("\n{{ name", "line 2: `{{` is not closed");
    check("{{ name | capitalise }}", "capitalise");
    check("{{ name }", "`{{` is not closed");
    check("{{}}", "line 1");
    check("x\n{% if name %}", "line 2");
    check("{% endif %}", "line 1");
    check("{% raw %}", "no `{% endraw %}`");
    check("{# x", "`{#` is not closed");
    check("{{ name.x }}", "line 1");
    check("{{ port() }}", "line 1");
}

/// A manifest that is sound, with more at its end.
fn manifest(more: &str) -> String {
    let head = "name = \"{{ name }}\"\nversion = \"0.1.0\"\ntitle = {{ title | toml }}\n\
        description = {{ description | toml }}\n";
    format!("{head}[runtime]\nkind = \"wasm\"\nentry = \"{{{{ name | snake }}}}.wasm\"\n{more}")
}

#[test]
fn a_manifest_that_would_be_none_is_refused() {
    let check = |text: &str, expected: &str| {
        let error = check_template(&template(&[("plugin.toml", text)])).expect_err(text);
        assert_eq!(
            (error.code(), error.to_string()),
            (Code::InvalidTemplate, "the rendered `plugin.toml` is not a valid manifest".into())
        );
        let source = std::error::Error::source(&error).expect("it says why").to_string();
        assert!(source.contains(expected), "{text}: {source}");
        assert!(error.hint().is_some_and(|hint| hint.contains("as it comes out")));
    };
    check("name = \"{{ name }}\"\n", "version");
    check(&manifest("[limts]\n"), "limts");
    check(&manifest("{{ name }}"), "line 8, column ");
    check(&manifest("[limits]\nmemory = {{ port | toml }}\ntimeout = {{ author | toml }}\n"), "limits.timeout");
    // What is no package's manifest is not read as one.
    check_template(&template(&[("docs/plugin.toml", "name = 1")])).expect("it is sound");
}

#[test]
fn a_manifest_that_needs_values_is_not_refused_for_want_of_them() {
    let check = |more: &str, default: &str| {
        let mut template = template(&[("plugin.toml", &manifest(more))]);
        template.variables[0].default = default.to_owned();
        check_template(&template)
    };
    let limits = "[limits]\ntimeout = \"{{ port }}s\"\n";
    check(limits, "5").expect("the default will do");
    check(limits, "").expect("a number will do");
    check(limits, "soon").expect_err("the default will not do");
    check("[permissions]\nhttp = [{{ port | toml }}]\n", "").expect("nobody knows what will do");
    check("{% if port %}[limits]\nmemory = {{ port | toml }}{% endif %}\n", "").expect("nothing will do");
    check("[limits]\ntimeout = \"{{ port }}\"\noutput = \"{{ port }}B\"\n", "").expect("nobody knows what will do");
    check("[limits]\ntimeout = \"soon\"\n", "").expect_err("it has nothing to do with what is not known");
}

#[test]
fn what_could_be_made_costly_is_refused() {
    let check = |text: &str, expected: &str| {
        let told = refused(&template(&[("a", text)]));
        assert!(told.contains(expected), "{text}: {told}");
    };
    for statement in
        ["for x in [1]", "set x = 1", "macro m()", "include 'b'", "import 'b' as b", "block b", "with", "do x"]
    {
        check(&format!("{{% {statement} %}}"), "only if, elif, else and raw");
    }
    check("{{ name * 1000000 }}", "do not support operators");
    check("{%- if 'x' * 9 -%}{% endif %}", "do not support operators");
    check(&format!("{{{{ {} }}}}", ["name"; 300].join(" ~ ")), "more than 1000 bytes");
    // A text is no arithmetic.
    check_template(&template(&[("a", "{{ '*%' }}")])).expect("it is sound");
    let long = vec![TemplateVariable { name: "x".into(), description: String::new(), default: "y".repeat(2_000) }];
    let much = "{{ x }}".repeat(3_000);
    let bomb = Template { variables: long, ..template(&[("a", &much)]) };
    assert!(refused(&bomb).contains("have more than 4MiB"), "{}", refused(&bomb));
}

/// A template with one variable, `x`, whose default is doubled by filters.
fn doubling(text: &str) -> Template {
    let x = TemplateVariable { name: "x".into(), description: String::new(), default: "\"".repeat(100) };
    Template { variables: vec![x], ..template(&[("a", text)]) }
}

#[test]
fn s19_filters_that_double_a_text_end_when_it_is_long() {
    let thirty = |filter: &str| format!("{{{{ x{} }}}}", format!("|{filter}").repeat(30));
    for filter in ["json", "toml", "json|upper|toml"] {
        let told = refused(&doubling(&thirty(filter)));
        assert!(told.contains("; the limit is 16KiB"), "{filter}: {told}");
    }
    // Text that is not in the output is rendered nevertheless.
    let condition = format!("{{% if x{} == name %}}{{% endif %}}", "|json".repeat(30));
    assert!(refused(&doubling(&condition)).contains("the limit is 16KiB"));
    check_template(&doubling("{{ x|json|json|json }}")).expect("a few are fine");
}

#[test]
fn s19_a_branch_that_the_check_does_not_take_is_bounded_when_somebody_takes_it() {
    let hidden = doubling(&format!("{{% if name == 'gotcha' %}}{{{{ x{} }}}}{{% endif %}}", "|json".repeat(30)));
    check_template(&hidden).expect("the check does not come there");
    let values = TemplateValues::new("gotcha".parse().expect("a name"));
    let error = render_template(&hidden, &values).expect_err("it is bounded all the same");
    assert!(error.to_string().contains("; the limit is 16KiB"), "{error}");
    let given = TemplateValues {
        variables: [("x".to_owned(), "\"".repeat(2_000))].into(),
        ..TemplateValues::new("sample".parse().expect("a name"))
    };
    let error =
        render_template(&doubling("{{ x|json|json|json|json }}"), &given).expect_err("a long value doubles, too");
    assert!(error.to_string().contains("the limit is 16KiB"), "{error}");
}

#[test]
fn s19_texts_are_not_put_together() {
    for text in ["{{ name ~ name }}", "{{ name + name }}", "{% if (name ~ name)|json == '' %}{% endif %}"] {
        assert!(refused(&template(&[("a", text)])).contains("do not support operators"), "{text}");
    }
    // A filter would treat a list of texts as one long text.
    assert!(refused(&template(&[("a", "{{ [name, name]|json }}")])).contains("filters take text"));
    check_template(&template(&[("a", "{{- name -}} {%+ if '~' == name +%}{% endif %}")])).expect("no concatenation");
}

#[test]
fn s19_the_steps_of_all_files_are_counted_together() {
    let many = "{% if name == title %}{% endif %}\n".repeat(7_000);
    let one = template(&[("a", &many)]);
    check_template(&one).expect("one file is within the bound");
    let files = ["a", "b", "c", "d"].map(|path| (path, many.as_str()));
    let error = check_template(&template(&files)).expect_err("four are not");
    assert!(error.to_string().contains("more than 100000 steps"), "{error}");
    assert!(error.hint().is_some());
    // Also if only some values reach it.
    let hidden: Vec<_> =
        ["a", "b", "c", "d"].map(|path| (path, format!("{{% if name == 'gotcha' %}}{many}{{% endif %}}"))).into();
    let hidden: Vec<_> = hidden.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let hidden = template(&hidden);
    check_template(&hidden).expect("the check does not come there");
    let values = TemplateValues::new("gotcha".parse().expect("a name"));
    assert!(render_template(&hidden, &values).expect_err("too many").to_string().contains("steps"));
}

/// A step with a filter takes far longer than others, and cannot be interrupted.
#[test]
fn s19_the_texts_of_all_filters_are_counted_together() {
    let many = "{% if name|upper|lower %}{% endif %}\n".repeat(2_000);
    let one = template(&[("a", &many)]);
    check_template(&one).expect("short texts are within the limit");
    // 4,000 texts of 8,000 bytes.
    let long = "{% if description|upper|lower %}{% endif %}\n".repeat(2_000);
    let long = template(&[("a", &long)]);
    check_template(&long).expect("the description of the check is short");
    let values = TemplateValues { description: Some("\u{1f600}".repeat(2_000)), ..values() };
    let started = std::time::Instant::now();
    let error = render_template(&long, &values).expect_err("it is too much");
    assert_eq!(error.to_string(), "`a`: the filters of the template take more than 16MiB of text");
    assert_eq!((error.code(), error.hint().is_some()), (Code::InvalidTemplate, true));
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
}

/// The check renders `plugin.toml` up to four times.
#[test]
fn s19_all_renderings_of_a_check_share_its_limits() {
    let steps = "{% if name == title %}{% endif %}\n".repeat(7_000);
    let manifest = format!("{steps}{{{{ port }}}}");
    let mut repeated = template(&[("plugin.toml", &manifest)]);
    repeated.variables[0].default = String::new();
    let error = check_template(&repeated).expect_err("the renderings are too many");
    assert!(error.to_string().contains("more than 100000 steps"), "{error}");
    check_template(&template(&[("a", &manifest)])).expect("one rendering is within the limit");
}

#[test]
fn s19_long_chains_of_elif_are_refused() {
    let chain = |count: usize| format!("{{%if 1%}}{}{{%endif%}}", "{%elif 1%}".repeat(count));
    for count in [100, 26_000] {
        let told = refused(&template(&[("a", &format!("\n{}", chain(count)))]));
        assert!(told.starts_with("`a`, line 2: more than 100 `if` and `elif` are open here"), "{told}");
    }
    check_template(&template(&[("a", &chain(99).repeat(20))])).expect("chains one after another are not deep");
    // Even if no single chain is long.
    let spread = format!("{{% if 1 %}}{}", "{% elif 1 %}".repeat(9)).repeat(40) + &"{% endif %}".repeat(40);
    assert!(refused(&template(&[("a", &spread)])).contains("are open here"));
}

#[test]
fn s19_deeply_nested_conditions_are_refused() {
    let nested = |open: &str, count: usize| open.repeat(count) + &"{% endif %}".repeat(count);
    for open in ["{% if 1 %}", "{% if 1 %}{% else %}", "{%-if(1)-%}"] {
        let told = refused(&template(&[("a", &nested(open, 51))]));
        assert!(told.contains("`if` is nested more than 50 deep"), "{open}: {told}");
        check_template(&template(&[("a", &nested(open, 50))])).expect("this depth is fine");
    }
}

#[test]
fn s19_long_expressions_are_refused() {
    let check = |text: &str, expected: &str| {
        let told = refused(&template(&[("a", text)]));
        assert!(told.contains(expected), "{text}: {told}");
    };
    let limit = "names, texts and operators; the limit is 200";
    check(&format!("{{{{ {}name }}}}", "not ".repeat(201)), limit);
    check(&format!("{{{{ name{} }}}}", " or 1".repeat(101)), limit);
    check(&format!("{{{{ name{} }}}}", "|lower".repeat(101)), limit);
    check(&format!("{{% if {}name %}}{{% endif %}}", "1 if 1 else ".repeat(60)), limit);
    check(&format!("{{{{ name{} }}}}", "()".repeat(150)), limit);
    check(&format!("{{{{ {}name }}}}", "- ".repeat(400)), "do not support operators");
    check(&format!("{{{{ {}name{} }}}}", "(".repeat(21), ")".repeat(21)), "nested more than 20 deep");
    check(&format!("{{{{ {}name{} }}}}", "[".repeat(21), "]".repeat(21)), "nested more than 20 deep");
}

/// The deepest template that passes: it must fit on the stack of a thread.
#[test]
fn s19_a_template_at_the_limits_is_read() {
    let brackets = format!("{}{}name{}", "not ".repeat(150), "(".repeat(20), ")".repeat(20));
    let conditions = "{% if 1 %}".repeat(50) + &"{% elif 1 %}".repeat(50);
    let deepest = format!("{conditions}{{{{ {brackets} }}}}{}", "{% endif %}".repeat(50));
    check_template(&template(&[("a", &deepest)])).expect("it is within the limits");
}

/// For minijinja, `}}` within brackets does not end a placeholder.
#[test]
fn s19_brackets_hide_nothing_after_the_end_of_a_tag() {
    let check = |text: &str, expected: &str| {
        let told = refused(&template(&[("a", text)]));
        assert!(told.contains(expected), "{text}: {told}");
    };
    check("{{ {\"a\":{}} and (\"x\" * 100000000) }}", "line 1: a tag cannot contain `{`");
    check("{{ {\"a\":{}} and (\"x\" * 100000000) ~ \"{{\" }}", "a tag cannot contain `{`");
    check("{% if {1: {}} %}{% endif %}", "a tag cannot contain `{`");
    check("one\n{{ name }\n{{ title }}", "line 2: a tag cannot contain `}`");
    check("{{ (name }}", "a `)` is missing");
    check("{% if [name %}{% endif %}", "a `]` is missing");
    check("{{ name) }}", "`)` has no matching opening bracket");
    check("{{ (name] }}", "`]` has no matching opening bracket");
    check_template(&template(&[("a", "{{ '{' }}{% if name in ('a', '}') %}{{ \"}}\" }}{% endif %}")])).expect("texts");
}

/// If the scan and minijinja disagreed about the end of `raw`, the rest would never be checked.
#[test]
fn s19_raw_blocks_end_where_minijinja_ends_them() {
    let hidden = "{% set a = \"x\" * 100000000 %}{{ a }}";
    let no_ends = ["--endraw", "+-endraw", "\u{a0}endraw", "endraw\u{2003}", "\u{b}endraw", " -endraw", "endraw --"];
    for no_end in no_ends {
        let text = format!("{{% raw %}}{{%{no_end}%}}{{#{{% endraw %}}{hidden}{{##}}");
        let told = refused(&template(&[("a", &text)]));
        assert!(told.contains("only if, elif, else and raw"), "{no_end:?}: {told}");
    }
    for end in ["endraw", "-endraw-", "+\tendraw\r\n+", " endraw "] {
        let text = format!("{{% raw %}}{{%{end}%}}{hidden}{{% endraw %}}");
        let told = refused(&template(&[("a", &text)]));
        assert!(told.contains("only if, elif, else and raw"), "{end:?}: {told}");
    }
    // A tag that does not start `raw` leaves nothing unchecked.
    for no_start in ["--raw", "\u{a0}raw", "raw\u{b}", "raw --", "raw x", "raw 'x'"] {
        refused(&template(&[("a", &format!("{{%{no_start}%}}{hidden}{{% endraw %}}"))]));
    }
    check_template(&template(&[("a", "{%-raw+%}{{ x }}{%--endraw%}{%+ endraw -%}{{ name }}")])).expect("it is sound");
}

#[test]
fn s19_tags_have_one_sign_at_each_end() {
    for text in
        ["{{-- name }}", "{{ name --}}", "{{ name +-}}", "{%+-if name %}{% endif %}", "{% if name -+%}{% endif %}"]
    {
        assert!(refused(&template(&[("a", text)])).contains("write only one `-` or `+`"), "{text}");
    }
    for text in ["{{ - name }}", "{{ name - }}", "{{ - - 1 }}", "{{ port-1 }}", "{{ my-name }}", "{{ 1 / 2 }}"] {
        assert!(refused(&template(&[("a", text)])).contains("do not support operators"), "{text}");
    }
    check_template(&template(&[("a", "{{-name-}}{{+ name +}}{%- if name -%}{%+ else +%}{% endif -%}")])).expect("one");
}

/// A comment ends at the first `#}`, whatever it contains.
#[test]
fn s19_comments_hide_nothing() {
    let hidden = "{% set a = 1 %}";
    for comment in ["{##}", "{#-#}", "{#+#}", "{#}#}", "{#{##}", "{#'#}", "{#\"{% raw %}#}", "{# -#}", "{#\r\n+#}"] {
        let told = refused(&template(&[("a", &format!("{comment}{hidden}{{# ' #}}"))]));
        assert!(told.contains("only if, elif, else and raw"), "{comment}: {told}");
    }
    check_template(&template(&[("a", "{{ '{#' }}{{ name }}{{ '#}' }}")])).expect("texts are no comments");
}

/// minijinja counts columns in 16 bits and adds one to that of an error.
#[test]
fn s19_an_error_in_a_long_line_does_not_panic() {
    for text in ["{{ ? }}", "{{ 'x\\u' }}", "{{ 1_ }}", "{{ name }}", "{% if name %}{% endif %}"] {
        let told = refused(&template(&[("a", &format!("one\n{}{text}", "x".repeat(70_000)))]));
        assert!(told.contains("line 2: a tag starts after column 60000"), "{text}: {told}");
    }
    let long =
        format!("{{{{ name }}}}{}\n{{{{ name }}}}{{% raw %}}{}{{% endraw %}}", "x".repeat(70_000), "y".repeat(70_000));
    check_template(&template(&[("a", &long)])).expect("a long line without tags at its end is fine");
}

/// An older version may have stored it, or a backup contains it.
#[test]
fn s19_a_template_that_was_never_checked_is_refused_when_it_is_rendered() {
    for text in [
        "{% set a = \"x\" * 100000000 %}{{ a }}",
        "{{ {\"a\":{}} and (\"x\" * 100000000) }}",
        "{% if name == 'gotcha' %}{{ name ~ name }}{% endif %}",
        "{% if name == 'gotcha' %}{{ name.x }}{% endif %}",
        &format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(20_000)),
    ] {
        let error = render_template(&template(&[("a", text)]), &values()).expect_err("it is refused");
        assert_eq!(error.code(), Code::InvalidTemplate, "{error}");
        assert!(error.to_string().starts_with("`a`, line 1: "), "{error}");
    }
}

#[test]
fn s19_what_is_not_supported_is_refused_in_each_branch() {
    let check = |text: &str, expected: &str| {
        let hidden = format!("{{% if name == 'gotcha' %}}\n{text}{{% endif %}}");
        let told = refused(&template(&[("a", &hidden)]));
        assert!(told.contains(&format!("line 2: templates do not support {expected}")), "{text}: {told}");
    };
    check("{{ name.x }}", "attributes");
    check("{{ name[0] }}", "items");
    check("{{ name[1:2]|upper }}", "items");
    check("{{ port() }}", "calls");
    check("{{ name.upper() }}", "calls");
    check("{{ name|upper(port) }}", "arguments of filters");
    check("{{ name is defined }}", "tests with `is`");
    check("{% if not (name or [port, (name is odd)]) %}{% endif %}", "tests with `is`");
    let fine =
        "{% if not name in ('a', port) and 1 < 2 <= 3 or port == \"80\" %}{{ title|upper if port else '' }}{% endif %}";
    check_template(&template(&[("a", fine)])).expect("conditions are supported");
}

/// The time to read a text grows with its length, not with its square: twice the length takes about twice the time.
#[test]
fn s19_raw_blocks_without_an_end_are_read_in_linear_time() {
    let time = |count: usize| {
        let text = format!("{{% raw %}}{}%}}", "{%".repeat(count));
        let fastest = (0..3).map(|_| {
            let started = std::time::Instant::now();
            assert!(refused(&template(&[("a", &text)])).contains("no `{% endraw %}`"));
            started.elapsed()
        });
        fastest.min().expect("three runs")
    };
    let (short, long) = (time(4_000), time(64_000));
    assert!(long < short.max(std::time::Duration::from_millis(1)) * 100, "{short:?} and {long:?}");
}

#[test]
fn files_are_few_small_and_within_the_project() {
    assert_eq!(refused(&template(&[])), "the template has no files");
    let many: Vec<_> = (0..201).map(|number| (format!("f{number}"), "x")).collect();
    let many: Vec<_> = many.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    assert!(refused(&template(&many)).contains("201 files; the limit is 200"));
    let long = "x".repeat((256 << 10) + 1);
    assert!(refused(&template(&[("long", &long)])).starts_with("the file `long` has "));
    let text = "x".repeat(256 << 10);
    let five: Vec<_> = ["a", "b", "c", "d", "e"].map(|path| (path, text.as_str())).into();
    assert!(refused(&template(&five)).contains("in total"));
    let told = refused(&template(&[("a", "x"), ("a/b", "y")]));
    assert!(told.contains("another entry with this path"), "{told}");
    let told = refused(&template(&[("a\u{308}.txt", "x")]));
    assert!(told.contains("NFC"), "{told}");
}

#[test]
fn words_and_variables_have_a_form() {
    let check = |change: &dyn Fn(&mut Template), expected: &str| {
        let mut changed = template(&[("a", "x")]);
        change(&mut changed);
        let told = refused(&changed);
        assert!(told.contains(expected), "{told}");
    };
    check(&|template| template.description = " ".to_owned(), "needs a description");
    check(&|template| template.description = "a\nb".to_owned(), "one line");
    check(&|template| template.runtime = "Wasm".to_owned(), "`Wasm` for its runtime");
    check(&|template| template.language = String::new(), "for its language");
    check(&|template| template.variables[0].name = "a-b".to_owned(), "`a-b`");
    check(&|template| template.variables[0].name = "author".to_owned(), "which every template has");
    check(&|template| template.variables.push(template.variables[0].clone()), "twice");
    check(&|template| template.variables = vec![template.variables[0].clone(); 51], "51 variables");
}

#[test]
fn a_folder_with_a_head_is_a_template() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    let refused = |expected: &str| {
        let error = read_template(folder).expect_err("it is no template");
        assert!(error.to_string().contains(expected), "{error}");
    };
    refused("there is no template.toml");
    fs::write(folder.join(TEMPLATE_FILE), "name = \"team\"\nlanguge = \"rust\"\n").expect("written");
    refused("languge");
    let head = "name = \"team\"\ndescription = \"Ours.\"\nruntime = \"wasm\"\nlanguage = \"rust\"\n\
        [[variables]]\nname = \"port\"\ndefault = \"80\"\n";
    fs::write(folder.join(TEMPLATE_FILE), head).expect("written");
    fs::create_dir_all(folder.join("src")).expect("made");
    fs::write(folder.join("src/lib.rs"), "//! {{ name }}\n").expect("written");
    let read = read_template(folder).expect("a template");
    assert_eq!((read.name.as_str(), read.variables.len()), ("team", 1));
    let paths: Vec<_> = read.files.keys().map(ToString::to_string).collect();
    assert_eq!(paths, ["src/lib.rs"]);
    check_template(&read).expect("it is sound");
    fs::write(folder.join("picture.png"), [0x89, 0xff]).expect("written");
    refused("is not text in UTF-8");
    fs::remove_file(folder.join("picture.png")).expect("removed");
    std::os::unix::fs::symlink("/etc/passwd", folder.join("link")).expect("linked");
    refused("it is a link");
}

#[test]
fn s22_a_template_has_regular_files_only() {
    let place = tempfile::tempdir().expect("a folder");
    let head = place.path().join(TEMPLATE_FILE);
    let refused = |path: &Path| read_template(path.parent().expect("a folder")).expect_err("refused").to_string();
    let told = traps::refusals(&head, refused);
    let expected = ["it is a pipe, not a regular file", "it is a link"]
        .map(|why| format!("{}: its template.toml cannot be read: {why}", place.path().display()));
    assert_eq!(told, expected);
    fs::write(&head, "#".repeat((256 << 10) + 1)).expect("written");
    assert!(refused(&head).ends_with("its template.toml cannot be read: it is larger than 256KiB"));
    fs::write(&head, "name = \"team\"\ndescription = \"Ours.\"\nruntime = \"wasm\"\nlanguage = \"rust\"\n")
        .expect("written");
    let told = traps::refusals(&place.path().join("README.md"), refused);
    let expected = ["it is neither a file nor a folder", "it is a link"]
        .map(|fault| format!("`README.md` in {}: {fault}", place.path().display()));
    assert_eq!(told, expected);
}
