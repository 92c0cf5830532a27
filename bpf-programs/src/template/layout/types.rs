//! Chooses the presentation of a type's values: by a hint, by the type's or the field's name, or by the type
//! alone.

use std::sync::Arc;

use super::compile::{Compiler, Parent};
use super::error::LayoutError;
use super::hints::{self, Show};
use super::shape::{Load, Names, Scalar, Shape, Span};
use crate::template::btf::{Type, TypeId};

/// Limit of the enum constants of all fields of a record.
const CONSTANT_LIMIT: usize = 1 << 16;

impl Compiler<'_> {
    /// Returns the shape of a field that is no bit-field; `show` is the configured presentation.
    pub(crate) fn shape(
        &mut self,
        id: TypeId,
        path: &str,
        show: Option<Show>,
        inner: Parent<'_>,
    ) -> Result<Shape, LayoutError> {
        let shows = match show {
            Some(show) => vec![show],
            None => self.by_names(id, path)?,
        };
        for show in shows {
            if let Some(shape) = self.fit(show, id, path)? {
                return Ok(shape);
            }
        }
        let (target, _) = self.btf.resolve(id)?;
        if let Type::Array { element, count } = *self.btf.get(target)? {
            return self.array(element, count, path, show, inner).map_err(|error| match error {
                LayoutError::BadShow { field, show, fits, .. } => {
                    LayoutError::BadShow { field, of: self.btf.c_name(id), show, fits }
                }
                other => other,
            });
        }
        match show {
            Some(show) => Err(self.bad_show(path, id, show)),
            None => self.by_type(id, path, inner),
        }
    }

    /// Returns the shape of a bit-field.
    pub(crate) fn bits(
        &mut self,
        id: TypeId,
        path: &str,
        load: Load,
        show: Option<Show>,
    ) -> Result<Shape, LayoutError> {
        Ok(Shape::Scalar(
            load,
            match show {
                None => self.meaning(id)?,
                Some(Show::Number) => Scalar::Number,
                Some(Show::Hex) => Scalar::Hex,
                Some(show) => return Err(self.bad_show(path, id, show)),
            },
        ))
    }

    fn bad_show(&self, path: &str, id: TypeId, show: Show) -> LayoutError {
        let (field, of) = (path.to_owned(), self.btf.c_name(id));
        LayoutError::BadShow { field, of, show: show.as_str(), fits: show.fits() }
    }

    /// Returns the presentations that names suggest, the typedefs' before the field's.
    fn by_names(&self, id: TypeId, path: &str) -> Result<Vec<Show>, LayoutError> {
        let name = path.rsplit('.').next().unwrap_or(path);
        let (target, mut types) = self.btf.resolve(id)?;
        if let Type::Struct { name, .. } = self.btf.get(target)? {
            types.push(self.btf.name(*name)?);
        }
        let mut shows = Vec::new();
        for of in types {
            match hints::by_type_name(of) {
                Some(Show::BigEndian) if hints::is_address(name) => {
                    shows.extend([Show::Ipv4, Show::BigEndian])
                }
                found => shows.extend(found),
            }
        }
        if hints::is_address(name) && self.is_bytes(id, Some(false))? {
            shows.extend([Show::Ipv4, Show::Ipv6]);
        }
        shows.extend(hints::by_field_name(name));
        Ok(shows)
    }

    /// Returns the shape for a presentation, if the type can be shown that way.
    fn fit(&self, show: Show, id: TypeId, path: &str) -> Result<Option<Shape>, LayoutError> {
        let size = self.size(id, path, 0)?;
        let (target, _) = self.btf.resolve(id)?;
        let load = self.load(target, path)?;
        let (is_int, is_bool, is_flat) = match self.btf.get(target)? {
            Type::Int { boolean, .. } => (true, *boolean, true),
            Type::Array { .. } | Type::Struct { .. } => (false, false, true),
            _ => (false, false, false),
        };
        let scalar = |scalar: Scalar| load.map(|load| Shape::Scalar(load, scalar));
        let span = |length: usize, span: Span| (is_flat && size == length).then_some(Shape::Span(size, span));
        let text = self.is_bytes(target, None)?;
        let number = load.filter(|_| is_int && !is_bool);
        // The column of that name holds a number on the boot clock.
        let is_column = self.hints.rename.get(path).map_or(path, String::as_str) == "timestamp";
        Ok(match show {
            Show::Number => scalar(Scalar::Number),
            Show::Hex if text => span(size, Span::Bytes),
            Show::Hex => scalar(Scalar::Hex),
            Show::Text | Show::Path if text => span(size, Span::Text),
            Show::Text | Show::Path => number.filter(|_| size == 1).and_then(|_| scalar(Scalar::Char)),
            Show::Bytes => Some(Shape::Span(size, Span::Bytes)),
            Show::Ipv4 => span(4, Span::Ipv4),
            Show::Ipv6 => span(16, Span::Ipv6),
            Show::Mac => span(6, Span::Mac),
            Show::BigEndian => number
                .filter(|_| size > 1)
                .map(|load| Shape::Scalar(Load { big_endian: true, ..load }, Scalar::Number)),
            Show::TimeNs | Show::MonotonicNs => {
                let monotonic = show == Show::MonotonicNs;
                let moment = match (is_column, monotonic) {
                    (true, true) => Scalar::BootNs,
                    (true, false) => Scalar::Number,
                    (false, monotonic) => Scalar::Moment { monotonic },
                };
                number.filter(|_| size == 8).map(|load| Shape::Scalar(load, moment))
            }
            Show::Inline | Show::Hide => None,
        })
    }

    /// True if it is an array of single bytes of that signedness, or of any.
    fn is_bytes(&self, id: TypeId, wanted: Option<bool>) -> Result<bool, LayoutError> {
        let (target, _) = self.btf.resolve(id)?;
        let Type::Array { element, .. } = *self.btf.get(target)? else { return Ok(false) };
        let (element, _) = self.btf.resolve(element)?;
        Ok(match *self.btf.get(element)? {
            Type::Int { size: 1, boolean: false, signed, .. } => wanted.is_none_or(|wanted| wanted == signed),
            _ => false,
        })
    }

    /// Returns the shape of an array: `char` and `unsigned char` are text, a typedef's (`__u8`) are bytes,
    /// `signed char` are numbers.
    fn array(
        &mut self,
        element: TypeId,
        count: u32,
        path: &str,
        show: Option<Show>,
        inner: Parent<'_>,
    ) -> Result<Shape, LayoutError> {
        let (stride, count) = (self.size(element, path, 0)?, count as usize);
        let (target, typedefs) = self.btf.resolve(element)?;
        if let (None, Type::Int { name, size: 1, boolean: false, signed, .. }) = (show, self.btf.get(target)?)
        {
            // Other languages name their bytes differently; such a `u8` is no more text than it is in C.
            match self.btf.name(*name)? {
                "char" => return Ok(Shape::Span(count, Span::Text)),
                "unsigned char" if typedefs.is_empty() => return Ok(Shape::Span(count, Span::Text)),
                _ if !signed => return Ok(Shape::Span(count, Span::Bytes)),
                _ => {}
            }
        }
        let depth = inner.depth + 1;
        let inner = Parent { start: None, depth, ..inner };
        if depth > super::compile::DEPTH_LIMIT {
            return Err(self.whole("its arrays are nested too deep"));
        }
        let element = Box::new(self.shape(element, path, show, inner)?);
        Ok(Shape::Array { count, stride, element })
    }

    /// Returns the shape by the type alone.
    fn by_type(&mut self, id: TypeId, path: &str, inner: Parent<'_>) -> Result<Shape, LayoutError> {
        let (target, _) = self.btf.resolve(id)?;
        if let Some(load) = self.load(target, path)? {
            return Ok(Shape::Scalar(load, self.meaning(target)?));
        }
        match *self.btf.get(target)? {
            Type::Struct { .. } => {
                let mut fields = Vec::new();
                self.members(target, inner, &mut fields)?;
                self.unique(&mut fields, inner.prefix)?;
                Ok(Shape::Object(fields))
            }
            Type::Float { size: size @ (4 | 8), .. } => {
                let load = Load { width: size as u8, signed: true, bits: None, big_endian: false };
                Ok(Shape::Scalar(load, Scalar::Float))
            }
            Type::Float { .. } => Err(self.undecodable(path, id, "floats have 4 or 8 bytes")),
            _ => Err(self.undecodable(path, id, "this type can't be shown")),
        }
    }

    /// Returns the meaning of a type's numbers.
    fn meaning(&mut self, id: TypeId) -> Result<Scalar, LayoutError> {
        let (target, _) = self.btf.resolve(id)?;
        let btf = self.btf;
        Ok(match btf.get(target)? {
            Type::Int { boolean: true, .. } => Scalar::Bool,
            Type::Pointer { .. } => Scalar::Hex,
            // Compilers before clang 16 keep only the lower half of 64-bit constants: such names can't be
            // trusted.
            Type::Enum { size, wide, .. } if *size == 8 && !wide => Scalar::Number,
            Type::Enum { constants, .. } => {
                if let Some(names) = self.names.get(&target) {
                    return Ok(Scalar::Names(Arc::clone(names)));
                }
                let constants = btf.constants_of(constants);
                self.constants += constants.len();
                if self.constants > CONSTANT_LIMIT {
                    return Err(self.whole(format!("its enums have more than {CONSTANT_LIMIT} constants")));
                }
                let named = constants.iter().map(|found| Ok((found.value, btf.name(found.name)?.to_owned())));
                let names = Arc::new(Names::new(named.collect::<Result<_, LayoutError>>()?));
                self.names.insert(target, Arc::clone(&names));
                Scalar::Names(names)
            }
            _ => Scalar::Number,
        })
    }
}
