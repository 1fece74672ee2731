-- The application's side of the examples: its own table, and one right on Legwork's schema. Run it once as an
-- administrator of the database, after `legwork migrate up`. Each producer then connects as `shop`.
CREATE ROLE shop LOGIN;   -- ALTER ROLE shop PASSWORD '…'; where the server asks for one
GRANT legwork_enqueue TO shop;
CREATE TABLE app_order (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item text NOT NULL);
GRANT SELECT, INSERT ON app_order TO shop;
