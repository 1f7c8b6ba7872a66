fn main() {
    let a: Vec<_> = std::env::args().collect();
    if a[1] == "show" {
        let b = std::fs::read(&a[2]).unwrap();
        for p in wasmparser::Parser::new(0).parse_all(&b) {
            match p.unwrap() {
                wasmparser::Payload::CustomSection(s) => println!("custom {} {}", s.name(), s.data().len()),
                wasmparser::Payload::CodeSectionStart { size, count, .. } => println!("code {size} {count}"),
                wasmparser::Payload::DataSection(s) => println!("data {:?}", s.range().len()),
                _ => {}
            }
        }
        let wit_parser::decoding::DecodedWasm::Component(r, w) = wit_parser::decoding::decode(&b).unwrap() else {
            panic!()
        };
        for (k, _) in &r.worlds[w].imports {
            println!("import {}", r.name_world_key(k));
        }
        for (k, _) in &r.worlds[w].exports {
            println!("export {}", r.name_world_key(k));
        }
        return;
    }
    match outrigger_devkit::build(&outrigger_devkit::BuildOptions::new(&a[1], &a[2])) {
        Ok(_) => {}
        Err(e) => println!("{e} {:?}", e.hint()),
    }
}
