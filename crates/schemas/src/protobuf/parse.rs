//! From the text of a file, or its serialized descriptor in Base64, to resolved descriptors.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose};
use model::{Error, Result, error::codes};
use prost_reflect::{
    DescriptorPool, MessageDescriptor, ReflectMessage,
    prost::Message,
    prost_types::{
        DescriptorProto, EnumDescriptorProto, EnumOptions, EnumValueOptions, ExtensionRangeOptions,
        FieldDescriptorProto, FieldOptions, FileDescriptorProto, FileOptions, MessageOptions, MethodOptions,
        OneofOptions, ServiceOptions, UninterpretedOption,
    },
};

use super::{FILE, Schema, canonical, well_known};
use crate::avro::schema::TEXT_BYTES_MAX;

/// Deepest nesting of messages: the parser takes no more.
pub(super) const DEPTH_MAX: usize = 32;
/// Deepest nesting of brackets, those in options included.
const BRACKETS_MAX: usize = 64;
/// Names are looked up scope by scope, so long ones would cost their square.
const NAME_BYTES_MAX: usize = 512;
/// Messages, fields, values of enums and whatever else has a name, in one file.
const ELEMENTS_MAX: usize = 20_000;
/// Text of all imports together.
const IMPORTED_BYTES_MAX: usize = 8 << 20;
/// Longest chain of imports.
const IMPORT_DEPTH_MAX: usize = 32;

type Parsed<T> = Result<T, String>;

impl Schema {
    /// Parses `text`; `references` are names and texts of the files it may import, of those under one name the first.
    pub fn parse(text: &str, references: &[(String, String)]) -> Result<Self> {
        let invalid =
            |why: String| Error::new(codes::SCHEMA_INVALID, "this is not a valid Protobuf schema").detail(why);
        let file = file(text).map_err(invalid)?;
        let mut imports = Imports {
            texts: HashMap::new(),
            pool: DescriptorPool::new(),
            loading: Vec::new(),
            bytes_left: IMPORTED_BYTES_MAX,
        };
        for (name, text) in references {
            imports.texts.entry(name).or_insert(text);
        }
        imports.load_all(&file).map_err(invalid)?;
        let mut pool = imports.pool;
        let resolvable = FileDescriptorProto { name: Some(FILE.to_owned()), ..resolvable(&file) };
        pool.add_file_descriptor_proto(resolvable).map_err(|why| invalid(why.to_string()))?;
        check_entries(&pool).map_err(invalid)?;
        Ok(Self { file, pool })
    }
}

/// A message may say of itself that it is the entry of a map, which only compilers should: readers rely on its key and value.
fn check_entries(pool: &DescriptorPool) -> Parsed<()> {
    let has_both = |entry: &MessageDescriptor| [1, 2].iter().all(|number| entry.get_field(*number).is_some());
    match pool.all_messages().find(|message| message.is_map_entry() && !has_both(message)) {
        None => Ok(()),
        Some(entry) => {
            Err(format!("`{}` is called the entry of a map and lacks its key (1) or value (2)", entry.full_name()))
        }
    }
}

/// Imported files, added to the pool before those that import them.
struct Imports<'a> {
    texts: HashMap<&'a str, &'a str>,
    pool: DescriptorPool,
    /// The chain of imports being followed.
    loading: Vec<String>,
    bytes_left: usize,
}

impl Imports<'_> {
    fn load_all(&mut self, file: &FileDescriptorProto) -> Parsed<()> {
        file.dependency.iter().try_for_each(|name| self.load(name))
    }

    fn load(&mut self, name: &str) -> Parsed<()> {
        if self.pool.get_file_by_name(name).is_some() {
            return Ok(());
        }
        if self.loading.iter().any(|loading| loading == name) {
            return Err(format!("`{name}` imports itself, through {}", self.loading.join(", ")));
        }
        if self.loading.len() >= IMPORT_DEPTH_MAX || name == FILE {
            return Err(format!("the import `{name}` cannot be followed (at most {IMPORT_DEPTH_MAX} in a chain)"));
        }
        self.loading.push(name.to_owned());
        let file = match (well_known::file(name), self.texts.get(name)) {
            (Some(file), _) => file,
            (None, Some(text)) => {
                self.bytes_left = self
                    .bytes_left
                    .checked_sub(text.len())
                    .ok_or_else(|| format!("its imports have more than {IMPORTED_BYTES_MAX} bytes"))?;
                file(text).map_err(|why| format!("in the import `{name}`: {why}"))?
            }
            (None, None) => return Err(format!("the import `{name}` is the name of no reference")),
        };
        self.load_all(&file)?;
        let named = FileDescriptorProto { name: Some(name.to_owned()), ..resolvable(&file) };
        self.pool.add_file_descriptor_proto(named).map_err(|why| format!("in the import `{name}`: {why}"))?;
        self.loading.pop();
        Ok(())
    }
}

/// One file by itself. Base64 is what some clients register (`FileDescriptorProto`, serialized); it is read by way of its
/// text, so that there is one kind of schema.
fn file(text: &str) -> Parsed<FileDescriptorProto> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!("its text has {} bytes; at most {TEXT_BYTES_MAX} are taken", text.len()));
    }
    let compact = text.trim();
    if !compact.contains(|c: char| c.is_whitespace() || matches!(c, ';' | '"' | '{'))
        && let Ok(bytes) = general_purpose::STANDARD.decode(compact)
    {
        let mut file = FileDescriptorProto::decode(bytes.as_slice())
            .map_err(|why| format!("it is Base64, but no serialized FileDescriptorProto: {why}"))?;
        measure(&file)?;
        spell_options(&mut file);
        forget_json_names(&mut file.message_type);
        file.extension.iter_mut().for_each(forget_json_name);
        return written(&canonical::text(&file));
    }
    written(text)
}

fn written(text: &str) -> Parsed<FileDescriptorProto> {
    check_brackets(text)?;
    // The alternate form of the error has the place: `default:3:7: message`.
    let mut file = protox_parse::parse(FILE, text).map_err(|error| {
        let why = format!("{error:?}");
        format!("line {}", why.strip_prefix("default:").unwrap_or(&why))
    })?;
    file.source_code_info = None;
    measure(&file)?;
    Ok(file)
}

/// Refuses text whose brackets nest deeper than a parser that calls itself should follow.
fn check_brackets(text: &str) -> Parsed<()> {
    let (bytes, mut at, mut depth) = (text.as_bytes(), 0, 0usize);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'/' if bytes[at..].starts_with(b"//") => {
                at += bytes[at..].iter().position(|&b| b == b'\n').unwrap_or(bytes.len() - at);
            }
            b'/' if bytes[at..].starts_with(b"/*") => {
                let body = &bytes[at + 2..];
                at += 3 + body.windows(2).position(|end| end == b"*/").unwrap_or(body.len());
            }
            quote @ (b'"' | b'\'') => {
                at += 1;
                while bytes.get(at).is_some_and(|&b| b != quote && b != b'\n') {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'{' | b'[' | b'(' | b'<' => {
                depth += 1;
                if depth > BRACKETS_MAX {
                    return Err(format!("its brackets nest deeper than {BRACKETS_MAX} levels"));
                }
            }
            b'}' | b']' | b')' | b'>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// Refuses files of sizes that would take long to resolve.
fn measure(file: &FileDescriptorProto) -> Parsed<()> {
    fn name(name: &str) -> Parsed<()> {
        if name.len() > NAME_BYTES_MAX {
            return Err(format!("a name has {} bytes; at most {NAME_BYTES_MAX} are taken", name.len()));
        }
        Ok(())
    }
    fn fields(list: &[FieldDescriptorProto], left: &mut usize) -> Parsed<()> {
        count(list.len(), left)?;
        list.iter().try_for_each(|f| [f.name(), f.type_name(), f.extendee()].into_iter().try_for_each(name))
    }
    fn count(elements: usize, left: &mut usize) -> Parsed<()> {
        *left = left
            .checked_sub(elements)
            .ok_or_else(|| format!("it has more than {ELEMENTS_MAX} messages, fields and values"))?;
        Ok(())
    }
    fn enums(list: &[EnumDescriptorProto], left: &mut usize) -> Parsed<()> {
        for one in list {
            count(1 + one.value.len(), left)?;
            name(one.name())?;
            one.value.iter().try_for_each(|value| name(value.name()))?;
        }
        Ok(())
    }
    fn messages(list: &[DescriptorProto], left: &mut usize, depth: usize) -> Parsed<()> {
        if depth > DEPTH_MAX {
            return Err(format!("its messages nest deeper than {DEPTH_MAX} levels"));
        }
        for message in list {
            count(1 + message.oneof_decl.len() + message.extension_range.len(), left)?;
            count(message.reserved_range.len() + message.reserved_name.len(), left)?;
            name(message.name())?;
            message.oneof_decl.iter().try_for_each(|oneof| name(oneof.name()))?;
            fields(&message.field, left)?;
            fields(&message.extension, left)?;
            let oneofs = message.oneof_decl.len();
            let mut indexes = message.field.iter().filter_map(|field| field.oneof_index);
            if indexes.any(|index| usize::try_from(index).map_or(true, |index| index >= oneofs)) {
                return Err(format!("a field of `{}` is in a oneof that is not there", message.name()));
            }
            enums(&message.enum_type, left)?;
            messages(&message.nested_type, left, depth + 1)?;
        }
        Ok(())
    }
    let mut left = ELEMENTS_MAX;
    count(file.dependency.len(), &mut left)?;
    name(file.package())?;
    file.dependency.iter().try_for_each(|import| name(import))?;
    messages(&file.message_type, &mut left, 1)?;
    enums(&file.enum_type, &mut left)?;
    fields(&file.extension, &mut left)?;
    for service in &file.service {
        count(1 + service.method.len(), &mut left)?;
        name(service.name())?;
        for method in &service.method {
            [method.name(), method.input_type(), method.output_type()].into_iter().try_for_each(name)?;
        }
    }
    Ok(())
}

/// All options of a file, in the order of the walk.
trait Visitor {
    fn file(&mut self, options: &mut FileOptions);
    fn message(&mut self, options: &mut MessageOptions);
    fn field(&mut self, options: &mut FieldOptions);
    fn oneof(&mut self, options: &mut OneofOptions);
    fn range(&mut self, options: &mut ExtensionRangeOptions);
    fn enumeration(&mut self, options: &mut EnumOptions);
    fn value(&mut self, options: &mut EnumValueOptions);
    fn service(&mut self, options: &mut ServiceOptions);
    fn method(&mut self, options: &mut MethodOptions);
}

fn visit(file: &mut FileDescriptorProto, visitor: &mut impl Visitor) {
    fn enums(list: &mut [EnumDescriptorProto], visitor: &mut impl Visitor) {
        for one in list {
            one.options.iter_mut().for_each(|options| visitor.enumeration(options));
            one.value.iter_mut().filter_map(|v| v.options.as_mut()).for_each(|options| visitor.value(options));
        }
    }
    fn messages(list: &mut [DescriptorProto], visitor: &mut impl Visitor) {
        for message in list {
            message.options.iter_mut().for_each(|options| visitor.message(options));
            let fields = message.field.iter_mut().chain(&mut message.extension);
            fields.filter_map(|field| field.options.as_mut()).for_each(|options| visitor.field(options));
            message.oneof_decl.iter_mut().filter_map(|o| o.options.as_mut()).for_each(|o| visitor.oneof(o));
            message.extension_range.iter_mut().filter_map(|r| r.options.as_mut()).for_each(|o| visitor.range(o));
            enums(&mut message.enum_type, visitor);
            messages(&mut message.nested_type, visitor);
        }
    }
    file.options.iter_mut().for_each(|options| visitor.file(options));
    messages(&mut file.message_type, visitor);
    enums(&mut file.enum_type, visitor);
    file.extension.iter_mut().filter_map(|field| field.options.as_mut()).for_each(|o| visitor.field(o));
    for service in &mut file.service {
        service.options.iter_mut().for_each(|options| visitor.service(options));
        service.method.iter_mut().filter_map(|m| m.options.as_mut()).for_each(|o| visitor.method(o));
    }
}

macro_rules! options_visitor {
    ($visitor:ident, $each:ident) => {
        impl Visitor for $visitor {
            fn file(&mut self, options: &mut FileOptions) {
                $each!(options);
            }
            fn message(&mut self, options: &mut MessageOptions) {
                $each!(options);
                self.finish_message(options);
            }
            fn field(&mut self, options: &mut FieldOptions) {
                $each!(options);
            }
            fn oneof(&mut self, options: &mut OneofOptions) {
                $each!(options);
            }
            fn range(&mut self, options: &mut ExtensionRangeOptions) {
                $each!(options);
            }
            fn enumeration(&mut self, options: &mut EnumOptions) {
                $each!(options);
            }
            fn value(&mut self, options: &mut EnumValueOptions) {
                $each!(options);
            }
            fn service(&mut self, options: &mut ServiceOptions) {
                $each!(options);
            }
            fn method(&mut self, options: &mut MethodOptions) {
                $each!(options);
            }
        }
    };
}

/// The file with those options only that Protobuf itself defines. Custom ones mean nothing here, and their extensions
/// need not be imported: Confluent's parser does not look for them either.
fn resolvable(file: &FileDescriptorProto) -> FileDescriptorProto {
    macro_rules! keep_known {
        ($options:ident) => {{
            let known = $options.descriptor();
            $options.uninterpreted_option.retain(|option| {
                matches!(option.name.as_slice(), [part] if !part.is_extension
                    && known.get_field_by_name(&part.name_part).is_some())
                    && option.aggregate_value.is_none()
            });
        }};
    }
    struct Resolvable;
    impl Resolvable {
        /// An entry of a map that the text writes as a message becomes one.
        fn finish_message(&self, options: &mut MessageOptions) {
            let is_entry = |option: &UninterpretedOption| {
                option.name[0].name_part == "map_entry" && option.identifier_value() == "true"
            };
            if options.uninterpreted_option.iter().any(is_entry) {
                options.uninterpreted_option.retain(|option| option.name[0].name_part != "map_entry");
                options.map_entry = Some(true);
            }
        }
    }
    options_visitor!(Resolvable, keep_known);
    let mut file = file.clone();
    visit(&mut file, &mut Resolvable);
    file
}

/// Some compilers write down the JSON names that follow from the names, others do not: it is the same schema.
fn forget_json_names(messages: &mut [DescriptorProto]) {
    for message in messages {
        message.field.iter_mut().chain(&mut message.extension).for_each(forget_json_name);
        forget_json_names(&mut message.nested_type);
    }
}

fn forget_json_name(field: &mut FieldDescriptorProto) {
    let mut usual = String::new();
    let mut capital = false;
    for c in field.name().chars() {
        match c {
            '_' => capital = true,
            c if std::mem::take(&mut capital) => usual.push(c.to_ascii_uppercase()),
            c => usual.push(c),
        }
    }
    field.json_name = field.json_name.take().filter(|name| *name != usual);
}

/// The options of a serialized file in the form that text gives them. Custom ones are lost, as nobody knows their types.
fn spell_options(file: &mut FileDescriptorProto) {
    macro_rules! spell {
        ($options:ident) => {{
            let spelled = canonical::spelled(&$options.transcode_to_dynamic());
            *$options = Default::default();
            $options.uninterpreted_option = spelled;
        }};
    }
    struct Spell;
    impl Spell {
        fn finish_message(&self, _: &mut MessageOptions) {}
    }
    options_visitor!(Spell, spell);
    visit(file, &mut Spell);
}
