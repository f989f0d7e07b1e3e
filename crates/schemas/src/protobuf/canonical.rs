//! The text of a file as Confluent's registry prints it: what the registry keeps and compares.
//!
//! Blanks, comments and where a message stands among fields no longer matter; the order of messages and fields does,
//! unless the text is *normalized*: then fields, imports and options are sorted, types have their full names, and entries
//! of maps are written `map<…>`. Both texts parse to themselves.

use std::fmt::Write as _;

use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, Kind, MessageDescriptor, Value,
    prost_types::{
        DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, ServiceDescriptorProto,
        UninterpretedOption,
        field_descriptor_proto::{Label, Type},
        uninterpreted_option::NamePart,
    },
};

use super::{Schema, is_entry, is_group, is_written, short_name};

impl Schema {
    /// One text for all ways of writing the same file. `normalize` also sorts, and resolves names.
    pub fn canonical(&self, normalize: bool) -> String {
        write(&self.file, normalize.then_some(&self.pool))
    }
}

/// The text of a file whose names are not resolved.
pub(super) fn text(file: &FileDescriptorProto) -> String {
    write(file, None)
}

fn write(file: &FileDescriptorProto, pool: Option<&DescriptorPool>) -> String {
    let is_proto3 = file.syntax() == "proto3";
    let mut writer = Writer { out: String::new(), indent: 0, is_proto3, package: file.package(), pool };
    writer.file(file);
    writer.out
}

/// Largest field number.
const NUMBER_MAX: i32 = 536_870_911;

struct Writer<'a> {
    out: String,
    indent: usize,
    is_proto3: bool,
    package: &'a str,
    /// Only when normalizing.
    pool: Option<&'a DescriptorPool>,
}

/// What a scope holds besides its options: a file, or a message.
struct Scope<'a> {
    /// Full name of the message, or the package.
    full_name: &'a str,
    messages: &'a [DescriptorProto],
    enums: &'a [EnumDescriptorProto],
    fields: &'a [FieldDescriptorProto],
    extensions: &'a [FieldDescriptorProto],
}

impl Writer<'_> {
    fn line(&mut self, text: &str) {
        for line in text.split('\n') {
            self.out.extend(std::iter::repeat_n("  ", self.indent));
            self.out.push_str(line);
            self.out.push('\n');
        }
    }

    /// A block in braces. Each section in it begins on a line of its own; a block of none is `{}`.
    fn block(&mut self, head: &str, body: impl FnOnce(&mut Self)) {
        self.out.extend(std::iter::repeat_n("  ", self.indent));
        self.out.push_str(head);
        self.out.push_str(" {");
        let before = self.out.len();
        self.indent += 1;
        body(self);
        self.indent -= 1;
        if self.out.len() > before {
            self.out.extend(std::iter::repeat_n("  ", self.indent));
        }
        self.out.push_str("}\n");
    }

    fn section(&mut self) {
        self.out.push('\n');
    }

    fn file(&mut self, file: &FileDescriptorProto) {
        if let Some(syntax) = file.syntax.as_deref().filter(|syntax| self.pool.is_none() || *syntax == "proto3") {
            self.line(&format!("syntax = \"{}\";", escaped(syntax.as_bytes())));
        }
        if !file.package().is_empty() {
            self.line(&format!("package {};", file.package()));
        }
        if !file.dependency.is_empty() {
            self.section();
            let is_public = |at: usize| file.public_dependency.iter().any(|&public| usize::try_from(public) == Ok(at));
            for public in [false, true] {
                let imports = file.dependency.iter().enumerate().filter(|&(at, _)| is_public(at) == public);
                let mut imports: Vec<&String> = imports.map(|(_, name)| name).collect();
                if self.pool.is_some() {
                    imports.sort();
                }
                for name in imports {
                    self.line(&format!(
                        "import {}\"{}\";",
                        if public { "public " } else { "" },
                        escaped(name.as_bytes())
                    ));
                }
            }
        }
        self.option_lines(file.options.as_ref().map(|options| options.uninterpreted_option.as_slice()), true);
        let scope = Scope {
            full_name: file.package(),
            messages: &file.message_type,
            enums: &file.enum_type,
            fields: &[],
            extensions: &file.extension,
        };
        self.types(&scope);
        self.extends(&scope);
        if !file.service.is_empty() {
            self.section();
            file.service.iter().for_each(|service| self.service(service));
        }
    }

    /// Messages, then enums.
    fn types(&mut self, scope: &Scope<'_>) {
        let of_scope = |message: &&DescriptorProto| {
            is_written(message, scope.fields.iter().chain(scope.extensions))
                && !(self.pool.is_some() && self.resolved(scope, message.name()).is_some_and(|m| m.is_map_entry()))
        };
        let messages: Vec<_> = scope.messages.iter().filter(of_scope).collect();
        if messages.is_empty() && scope.enums.is_empty() {
            return;
        }
        self.section();
        for message in messages {
            self.block(&format!("message {}", message.name()), |writer| writer.message(scope.full_name, message));
        }
        for one in scope.enums {
            self.block(&format!("enum {}", one.name()), |writer| writer.enumeration(one));
        }
    }

    /// A message of the scope, when normalizing.
    fn resolved(&self, scope: &Scope<'_>, name: &str) -> Option<MessageDescriptor> {
        self.pool?.get_message_by_name(&join(scope.full_name, name))
    }

    fn message(&mut self, around: &str, message: &DescriptorProto) {
        let full_name = join(around, message.name());
        let scope = Scope {
            full_name: &full_name,
            messages: &message.nested_type,
            enums: &message.enum_type,
            fields: &message.field,
            extensions: &message.extension,
        };
        // Ends lie behind the last number here, and on it in enums.
        let ranges = message.reserved_range.iter().map(|range| (range.start(), range.end().saturating_sub(1)));
        self.reserved(ranges.collect(), &message.reserved_name);
        self.option_lines(message.options.as_ref().map(|options| options.uninterpreted_option.as_slice()), true);
        let is_real = |field: &FieldDescriptorProto| field.oneof_index.is_some() && !field.proto3_optional();
        let normalizes = self.pool.is_some();
        let sorted = |mut fields: Vec<&FieldDescriptorProto>| -> Vec<FieldDescriptorProto> {
            if normalizes {
                fields.sort_by_key(|field| field.number());
            }
            fields.into_iter().cloned().collect()
        };
        let fields: Vec<_> = message.field.iter().filter(|f| !is_real(f) && !is_group(f)).collect();
        if !fields.is_empty() {
            self.section();
            sorted(fields).iter().for_each(|field| self.field(&scope, field));
        }
        let members = |index: usize| {
            message.field.iter().filter(move |f| is_real(f) && usize::try_from(f.oneof_index()) == Ok(index))
        };
        let mut oneofs: Vec<_> = message.oneof_decl.iter().enumerate().collect();
        oneofs.retain(|&(index, _)| members(index).next().is_some());
        if normalizes {
            oneofs.sort_by_key(|&(index, _)| members(index).map(|field| field.number()).min());
        }
        if !oneofs.is_empty() {
            self.section();
            for (index, oneof) in oneofs {
                self.block(&format!("oneof {}", oneof.name()), |writer| {
                    let options = oneof.options.as_ref().map(|options| options.uninterpreted_option.as_slice());
                    writer.option_lines(options, true);
                    for groups in [false, true] {
                        let members: Vec<_> = members(index).filter(|field| is_group(field) == groups).collect();
                        if !members.is_empty() {
                            writer.section();
                            sorted(members).iter().for_each(|field| writer.field(&scope, field));
                        }
                    }
                });
            }
        }
        let groups: Vec<_> = message.field.iter().filter(|f| !is_real(f) && is_group(f)).collect();
        if !groups.is_empty() {
            self.section();
            sorted(groups).iter().for_each(|field| self.field(&scope, field));
        }
        if !message.extension_range.is_empty() {
            self.section();
            let mut ranges: Vec<_> = message.extension_range.iter().collect();
            if normalizes {
                ranges.sort_by_key(|range| range.start());
            }
            for range in ranges {
                let numbers = numbers(range.start(), range.end().saturating_sub(1), NUMBER_MAX);
                let options = range.options.as_ref().map_or(&[][..], |options| &options.uninterpreted_option);
                let options = self.options_in_brackets(options, Vec::new());
                self.line(&format!("extensions {numbers}{options};"));
            }
        }
        self.extends(&scope);
        self.types(&scope);
    }

    fn reserved(&mut self, mut ranges: Vec<(i32, i32)>, names: &[String]) {
        if ranges.is_empty() && names.is_empty() {
            return;
        }
        self.section();
        let mut names: Vec<String> = names.iter().map(|name| format!("\"{}\"", escaped(name.as_bytes()))).collect();
        let normalizes = self.pool.is_some();
        if normalizes {
            ranges.sort_unstable();
            names.sort();
        }
        let ranges: Vec<String> = ranges.iter().map(|&(start, end)| numbers(start, end, NUMBER_MAX)).collect();
        for list in [ranges, names] {
            if normalizes {
                list.iter().for_each(|one| self.line(&format!("reserved {one};")));
            } else if !list.is_empty() {
                self.line(&format!("reserved {};", list.join(", ")));
            }
        }
    }

    fn field(&mut self, scope: &Scope<'_>, field: &FieldDescriptorProto) {
        let in_oneof = field.oneof_index.is_some() && !field.proto3_optional();
        let resolved = self.kind(scope, field);
        let entry = scope.messages.iter().find(|m| is_entry(m) && m.name() == short_name(field.type_name()));
        let map = match &resolved {
            Some(Kind::Message(message)) if message.is_map_entry() => {
                let (key, value) = (message.map_entry_key_field(), message.map_entry_value_field());
                Some((kind_name(&key.kind()), kind_name(&value.kind())))
            }
            _ => entry.filter(|entry| entry.field.len() == 2 && !is_group(field)).map(|entry| {
                let [key, value] = [&entry.field[0], &entry.field[1]];
                (type_name(key), type_name(value))
            }),
        };
        let label = match field.label() {
            _ if in_oneof || map.is_some() => "",
            Label::Required => "required ",
            Label::Repeated => "repeated ",
            Label::Optional if !self.is_proto3 || field.proto3_optional() => "optional ",
            Label::Optional => "",
        };
        let kind = match (&map, &resolved) {
            (Some((key, value)), _) => format!("map<{key}, {value}>"),
            (None, Some(kind)) => kind_name(kind),
            (None, None) => type_name(field),
        };
        let mut special = Vec::new();
        if let Some(default) = &field.default_value {
            special.push(match field.r#type.and_then(|number| Type::try_from(number).ok()) {
                Some(Type::String) => format!("default = \"{}\"", escaped(default.as_bytes())),
                // Escaped already.
                Some(Type::Bytes) => format!("default = \"{default}\""),
                _ => format!("default = {default}"),
            });
        }
        if let Some(name) = &field.json_name {
            special.push(format!("json_name = \"{}\"", escaped(name.as_bytes())));
        }
        let options = field.options.as_ref().map_or(&[][..], |options| &options.uninterpreted_option);
        let options = self.options_in_brackets(options, special);
        if is_group(field) {
            let name = short_name(field.type_name()).to_owned();
            let head = format!("{label}group {name} = {}{options}", field.number());
            match scope.messages.iter().find(|message| message.name() == name) {
                Some(group) => self.block(&head, |writer| writer.message(scope.full_name, group)),
                None => self.line(&format!("{head} {{}}")),
            }
        } else {
            self.line(&format!("{label}{kind} {} = {}{options};", field.name(), field.number()));
        }
    }

    /// What the field's type resolved to, when normalizing.
    fn kind(&self, scope: &Scope<'_>, field: &FieldDescriptorProto) -> Option<Kind> {
        let pool = self.pool?;
        if field.extendee.is_some() {
            return Some(pool.get_extension_by_name(&join(scope.full_name, field.name()))?.kind());
        }
        let number = u32::try_from(field.number()).ok()?;
        Some(pool.get_message_by_name(scope.full_name)?.get_field(number)?.kind())
    }

    /// `extend` blocks: one for each run of extensions of the same message, or for each message when normalizing.
    fn extends(&mut self, scope: &Scope<'_>) {
        let mut blocks: Vec<(String, Vec<&FieldDescriptorProto>)> = Vec::new();
        for field in scope.extensions {
            let extended = |of: ExtensionDescriptor| format!(".{}", of.containing_message().full_name());
            let resolved = self.pool.and_then(|pool| pool.get_extension_by_name(&join(scope.full_name, field.name())));
            let extendee = resolved.map_or_else(|| field.extendee().to_owned(), extended);
            let known = match self.pool {
                Some(_) => blocks.iter_mut().find(|(name, _)| *name == extendee),
                None => blocks.last_mut().filter(|(name, _)| *name == extendee),
            };
            match known {
                Some((_, fields)) => fields.push(field),
                None => blocks.push((extendee, vec![field])),
            }
        }
        if blocks.is_empty() {
            return;
        }
        self.section();
        for (extendee, mut fields) in blocks {
            if self.pool.is_some() {
                fields.sort_by_key(|field| field.number());
            }
            self.block(&format!("extend {extendee}"), |writer| {
                writer.section();
                fields.into_iter().for_each(|field| writer.field(scope, field));
            });
        }
    }

    fn enumeration(&mut self, one: &EnumDescriptorProto) {
        let reserved = one.reserved_range.iter().map(|range| (range.start(), range.end()));
        let (reserved, names) = (reserved.collect::<Vec<_>>(), &one.reserved_name);
        let options = one.options.as_ref().map(|options| options.uninterpreted_option.as_slice());
        if !reserved.is_empty() || !names.is_empty() {
            self.enum_reserved(reserved, names);
        } else if options.is_some_and(|options| !options.is_empty()) || !one.value.is_empty() {
            self.section();
        }
        self.option_lines(options, false);
        let mut values: Vec<_> = one.value.iter().collect();
        if self.pool.is_some() {
            // Zero goes first, as proto3 asks for, and negative ones last.
            values.sort_by_key(|value| (value.number() as u32, value.name()));
        }
        for value in values {
            let options = value.options.as_ref().map_or(&[][..], |options| &options.uninterpreted_option);
            let options = self.options_in_brackets(options, Vec::new());
            self.line(&format!("{} = {}{options};", value.name(), value.number()));
        }
    }

    fn enum_reserved(&mut self, mut ranges: Vec<(i32, i32)>, names: &[String]) {
        if self.pool.is_some() {
            ranges.sort_unstable();
        }
        self.section();
        let ranges: Vec<String> = ranges.iter().map(|&(start, end)| numbers(start, end, i32::MAX)).collect();
        let mut names: Vec<String> = names.iter().map(|name| format!("\"{}\"", escaped(name.as_bytes()))).collect();
        if self.pool.is_some() {
            names.sort();
            ranges.iter().chain(&names).for_each(|one| self.line(&format!("reserved {one};")));
            return;
        }
        for list in [ranges, names] {
            if !list.is_empty() {
                self.line(&format!("reserved {};", list.join(", ")));
            }
        }
    }

    fn service(&mut self, service: &ServiceDescriptorProto) {
        let resolved = self.pool.and_then(|pool| pool.get_service_by_name(&join(self.package, service.name())));
        self.block(&format!("service {}", service.name()), |writer| {
            writer.option_lines(service.options.as_ref().map(|o| o.uninterpreted_option.as_slice()), true);
            if service.method.is_empty() {
                return;
            }
            writer.section();
            for (index, method) in service.method.iter().enumerate() {
                let resolved = resolved.as_ref().and_then(|service| service.methods().nth(index));
                let (input, output) = match &resolved {
                    Some(method) => {
                        (format!(".{}", method.input().full_name()), format!(".{}", method.output().full_name()))
                    }
                    None => (method.input_type().to_owned(), method.output_type().to_owned()),
                };
                let stream = |yes: bool| if yes { "stream " } else { "" };
                let head = format!(
                    "rpc {} ({}{input}) returns ({}{output})",
                    method.name(),
                    stream(method.client_streaming()),
                    stream(method.server_streaming()),
                );
                let options = method.options.as_ref().map_or(&[][..], |options| &options.uninterpreted_option);
                let options = writer.sorted_options(options);
                if options.is_empty() {
                    writer.line(&format!("{head};"));
                } else {
                    writer.line(&format!("{head} {{"));
                    options.iter().for_each(|option| writer.line(&format!("  option {option};")));
                    writer.line("};");
                }
            }
        });
    }

    fn option_lines(&mut self, options: Option<&[UninterpretedOption]>, section: bool) {
        let options = self.sorted_options(options.unwrap_or_default());
        if section && !options.is_empty() {
            self.section();
        }
        options.iter().for_each(|option| self.line(&format!("option {option};")));
    }

    /// ` [deprecated = true]`, each on a line of its own if there are several.
    fn options_in_brackets(&self, options: &[UninterpretedOption], special: Vec<String>) -> String {
        let mut all = self.sorted_options(options);
        all.extend(special);
        if self.pool.is_some() {
            all.sort();
        }
        match all.as_slice() {
            [] => String::new(),
            [one] => format!(" [{one}]"),
            several => format!(" [\n  {}\n]", several.join(",\n  ")),
        }
    }

    fn sorted_options(&self, options: &[UninterpretedOption]) -> Vec<String> {
        let mut texts: Vec<String> = options.iter().map(|option| self.option(option)).collect();
        if self.pool.is_some() {
            texts.sort();
        }
        texts
    }

    fn option(&self, option: &UninterpretedOption) -> String {
        let parts = option.name.iter().map(|part| match part.is_extension {
            true => format!("({})", self.extension_name(&part.name_part)),
            false => part.name_part.clone(),
        });
        let name = parts.collect::<Vec<_>>().join(".");
        let value = if let Some(text) = &option.string_value {
            format!("\"{}\"", escaped(text))
        } else if let Some(name) = &option.identifier_value {
            name.clone()
        } else if let Some(number) = option.positive_int_value {
            number.to_string()
        } else if let Some(number) = option.negative_int_value {
            number.to_string()
        } else if let Some(number) = option.double_value {
            float(number)
        } else {
            match option.aggregate_value() {
                "" => "{}".to_owned(),
                body => format!("{{ {body} }}"),
            }
        };
        format!("{name} = {value}")
    }

    /// Full name of a custom option, when normalizing and if it is known.
    fn extension_name(&self, name: &str) -> String {
        let bare = name.strip_prefix('.').unwrap_or(name);
        let Some(pool) = self.pool else { return name.to_owned() };
        let mut scope = if name.starts_with('.') { "" } else { self.package };
        loop {
            let full = join(scope, bare);
            if pool.get_extension_by_name(&full).is_some() {
                return full;
            }
            if scope.is_empty() {
                return name.to_owned();
            }
            scope = scope.rsplit_once('.').map_or("", |(outer, _)| outer);
        }
    }
}

fn join(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}

fn numbers(start: i32, end: i32, max: i32) -> String {
    match end {
        end if end == start => start.to_string(),
        end if end >= max => format!("{start} to max"),
        end => format!("{start} to {end}"),
    }
}

/// The type of a field as it was written.
fn type_name(field: &FieldDescriptorProto) -> String {
    match field.r#type.and_then(|number| Type::try_from(number).ok()) {
        Some(Type::Message | Type::Enum | Type::Group) | None => field.type_name().to_owned(),
        Some(scalar) => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    }
}

/// A resolved type, by its full name.
fn kind_name(kind: &Kind) -> String {
    match kind {
        Kind::Message(_) | Kind::Enum(_) => format!(".{kind:?}"),
        scalar => format!("{scalar:?}"),
    }
}

fn float(number: f64) -> String {
    match number {
        n if n.is_nan() => "nan".to_owned(),
        n if n == f64::INFINITY => "inf".to_owned(),
        n => format!("{n:?}"),
    }
}

fn escaped(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\u{7}' => out.push_str("\\a"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{b}' => out.push_str("\\v"),
                '\\' | '\'' | '"' => out.extend(['\\', c]),
                c if c.is_ascii_control() => octal(c as u8, &mut out),
                c => out.push(c),
            }
        }
        chunk.invalid().iter().for_each(|&byte| octal(byte, &mut out));
    }
    out
}

fn octal(byte: u8, out: &mut String) {
    write!(out, "\\{byte:03o}").expect("writing to a String cannot fail");
}

/// Options that are set, as text would give them.
pub(super) fn spelled(options: &DynamicMessage) -> Vec<UninterpretedOption> {
    let spelled = options.fields().filter_map(|(field, value)| {
        let mut option = UninterpretedOption {
            name: vec![NamePart { name_part: field.name().to_owned(), is_extension: false }],
            ..UninterpretedOption::default()
        };
        match value {
            Value::Bool(yes) => option.identifier_value = Some(yes.to_string()),
            Value::EnumNumber(number) => {
                option.identifier_value = Some(field.kind().as_enum()?.get_value(*number)?.name().to_owned());
            }
            Value::String(text) => option.string_value = Some(text.clone().into_bytes()),
            Value::I32(number) if *number < 0 => option.negative_int_value = Some(i64::from(*number)),
            Value::I32(number) => option.positive_int_value = u64::try_from(*number).ok(),
            // Features, targets and declarations belong to later editions; uninterpreted ones cannot be in a descriptor.
            _ => return None,
        }
        Some(option)
    });
    spelled.collect()
}
