//! The reference of the contract with plugins, rendered from `wit/plugin.wit`.

use std::fmt::Write;

use outrigger_testkit::golden;
use wit_parser::{
    Docs, Function, Interface, InterfaceId, PackageId, Resolve, Type, TypeDefKind, World, WorldId, WorldItem, WorldKey,
};

use super::{NOTE, cell};

const SOURCE: &str = include_str!("../../../../wit/plugin.wit");

#[test]
fn generated_wit_reference() {
    let mut resolve = Resolve::default();
    let package = resolve.push_source("plugin.wit", SOURCE).unwrap();
    golden::check("docs/reference/wit.md", &Page { resolve: &resolve }.render(package));
}

/// A field or case: its name, its type, and what it means.
type Member<'t> = (&'t str, Option<&'t Type>, &'t Docs);

struct Page<'a> {
    resolve: &'a Resolve,
}

impl Page<'_> {
    fn render(&self, package: PackageId) -> String {
        let package = &self.resolve.packages[package];
        let (exported, imported): (Vec<_>, Vec<_>) = package
            .interfaces
            .values()
            .copied()
            .partition::<Vec<_>, _>(|id| self.is_exported(package.worlds.values(), *id));
        let mut page = format!("# {}\n\n{NOTE}{}\n\n", package.name, text(&package.docs));
        page.push_str("The file is [wit/plugin.wit](../../wit/plugin.wit).\n\n## Worlds\n\n");
        for id in package.worlds.values() {
            self.world(&mut page, &self.resolve.worlds[*id]);
        }
        page.push_str("## What the host offers\n\nImport what you use.\n\n");
        for id in imported {
            self.interface(&mut page, &self.resolve.interfaces[id]);
        }
        page.push_str("## What a plugin may offer\n\nExport what you take part in.\n\n");
        for id in exported {
            self.interface(&mut page, &self.resolve.interfaces[id]);
        }
        page
    }

    fn is_exported<'w>(&self, mut worlds: impl Iterator<Item = &'w WorldId>, id: InterfaceId) -> bool {
        worlds.any(|world| self.resolve.worlds[*world].exports.contains_key(&WorldKey::Interface(id)))
    }

    fn world(&self, page: &mut String, world: &World) {
        write!(page, "### world `{}`\n\n{}\n\n", world.name, text(&world.docs)).unwrap();
        for (direction, items) in [("import", &world.imports), ("export", &world.exports)] {
            let names = items.iter().filter(|(_, item)| matches!(item, WorldItem::Interface { .. }));
            for (key, _) in names {
                let name = self.resolve.name_world_key(key);
                let short = name.split(['/', '@']).nth(1).unwrap_or(&name);
                writeln!(page, "- {direction} [`{name}`](#{short})").unwrap();
            }
        }
        page.push('\n');
    }

    fn interface(&self, page: &mut String, interface: &Interface) {
        let name = interface.name.as_deref().unwrap();
        write!(page, "### {name}\n\n{}\n\n", text(&interface.docs)).unwrap();
        for function in interface.functions.values() {
            write!(page, "#### `{name}.{}`\n\n", function.name).unwrap();
            write!(page, "```wit\n{}\n```\n\n{}\n\n", self.signature(function), text(&function.docs)).unwrap();
        }
        for (name, id) in &interface.types {
            let definition = &self.resolve.types[*id];
            let (kind, members) = Self::members(&definition.kind);
            write!(page, "#### {kind} `{name}`\n\n{}\n\n", text(&definition.docs)).unwrap();
            if members.is_empty() {
                continue;
            }
            page.push_str("| name | type | meaning |\n|---|---|---|\n");
            for (name, ty, docs) in members {
                let ty = ty.map(|ty| format!("`{}`", self.ty(ty))).unwrap_or_default();
                writeln!(page, "| `{name}` | {ty} | {} |", cell(&text(docs))).unwrap();
            }
            page.push('\n');
        }
    }

    /// The kind of a type, and its fields or cases.
    fn members<'t>(kind: &'t TypeDefKind) -> (&'static str, Vec<Member<'t>>) {
        match kind {
            TypeDefKind::Record(record) => {
                let fields = record.fields.iter().map(|field| (field.name.as_str(), Some(&field.ty), &field.docs));
                ("record", fields.collect())
            }
            TypeDefKind::Variant(variant) => {
                let cases = variant.cases.iter().map(|case| (case.name.as_str(), case.ty.as_ref(), &case.docs));
                ("variant", cases.collect())
            }
            TypeDefKind::Enum(cases) => {
                ("enum", cases.cases.iter().map(|case| (case.name.as_str(), None, &case.docs)).collect())
            }
            TypeDefKind::Flags(flags) => {
                ("flags", flags.flags.iter().map(|flag| (flag.name.as_str(), None, &flag.docs)).collect())
            }
            _ => ("type", Vec::new()),
        }
    }

    fn signature(&self, function: &Function) -> String {
        let params: Vec<_> =
            function.params.iter().map(|param| format!("{}: {}", param.name, self.ty(&param.ty))).collect();
        let result = function.result.as_ref().map(|ty| format!(" -> {}", self.ty(ty))).unwrap_or_default();
        format!("{}: func({}){result};", function.name, params.join(", "))
    }

    /// A type as WIT writes it.
    fn ty(&self, ty: &Type) -> String {
        let Type::Id(id) = ty else { return format!("{ty:?}").to_lowercase() };
        let definition = &self.resolve.types[*id];
        if let Some(name) = &definition.name {
            return name.clone();
        }
        let or_nothing = |ty: Option<&Type>| ty.map_or_else(|| "_".to_owned(), |ty| self.ty(ty));
        match &definition.kind {
            TypeDefKind::List(item) => format!("list<{}>", self.ty(item)),
            TypeDefKind::Option(item) => format!("option<{}>", self.ty(item)),
            TypeDefKind::Tuple(tuple) => {
                let items: Vec<_> = tuple.types.iter().map(|item| self.ty(item)).collect();
                format!("tuple<{}>", items.join(", "))
            }
            TypeDefKind::Result(result) => match (&result.ok, &result.err) {
                (None, None) => "result".to_owned(),
                (Some(ok), None) => format!("result<{}>", self.ty(ok)),
                (ok, err) => format!("result<{}, {}>", or_nothing(ok.as_ref()), or_nothing(err.as_ref())),
            },
            other => panic!("the contract uses a kind of type that this page cannot show: {other:?}"),
        }
    }
}

fn text(docs: &Docs) -> String {
    docs.contents.as_deref().unwrap_or_default().trim().to_owned()
}
