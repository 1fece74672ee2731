//! Places of rows on the wire: Postgres' type `tid`, which the driver doesn't know.

use crate::job::Place;
use sqlx::{
    Decode, Encode, Postgres, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef, types::Oid},
};

/// `tid` and its array, the same in every database.
const TID: Oid = Oid(27);
const TIDS: Oid = Oid(1010);

impl Type<Postgres> for Place {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TID)
    }
}

impl PgHasArrayType for Place {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIDS)
    }
}

impl<'r> Decode<'r, Postgres> for Place {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let bytes: [u8; 6] = value.as_bytes()?.try_into()?;
        let [a, b, c, d, line @ ..] = bytes;
        Ok(Self { block: u32::from_be_bytes([a, b, c, d]), line: u16::from_be_bytes(line) })
    }
}

impl Encode<'_, Postgres> for Place {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.block.to_be_bytes());
        buffer.extend_from_slice(&self.line.to_be_bytes());
        Ok(IsNull::No)
    }
}
