//! Templates, from which new plugins are made: checked before they are kept, and rendered.
//!
//! They come from many hands and are rendered on a server, so they can say little: placeholders with filters, conditions,
//! and passages that are left as they are. There are no loops, no assignments and no arithmetic, whose cost a template
//! could make as high as it likes. Every name in a placeholder must be known, also where no plugin ever gets to it.
//!
//! Each text passes three checks before minijinja compiles it: a scan that limits its tags, a comparison of the scan
//! with minijinja's lexer, and a check that minijinja's syntax tree has only supported statements and expressions.

mod built_in;
mod check;
mod error;
mod folder;
mod language;
mod render;
mod scan;

pub use built_in::built_in_templates;
pub use check::check_template;
pub use error::TemplateError;
pub use folder::{TEMPLATE_FILE, read_template};
pub use render::render_template;

#[cfg(test)]
mod tests;
