-- A small jewellery ERP: the tables every branch of the demonstration holds.
CREATE TABLE branches (
  id uuid PRIMARY KEY, code text NOT NULL UNIQUE, name text NOT NULL);
CREATE TABLE customers (
  id uuid PRIMARY KEY, branch_id uuid NOT NULL REFERENCES branches, name text NOT NULL,
  phone text, updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE products (
  id uuid PRIMARY KEY, sku text NOT NULL UNIQUE, name text NOT NULL, metal text NOT NULL,
  karat int NOT NULL, gross_weight numeric(10,3) NOT NULL CHECK (gross_weight > 0), making_charge numeric(12,2) NOT NULL,
  price numeric(12,2) NOT NULL, tray text, description text);
CREATE TABLE invoices (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(), branch_id uuid NOT NULL REFERENCES branches,
  customer_id uuid NOT NULL REFERENCES customers, number text NOT NULL,
  total numeric(14,2) NOT NULL, status text NOT NULL DEFAULT 'final',
  created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE invoice_lines (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(), invoice_id uuid NOT NULL REFERENCES invoices ON DELETE CASCADE,
  product_id uuid NOT NULL REFERENCES products, qty int NOT NULL, unit_price numeric(12,2) NOT NULL,
  making_charge numeric(12,2) NOT NULL, line_total numeric(14,2) NOT NULL);
CREATE INDEX ON invoice_lines (invoice_id);
CREATE TABLE payments (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(), invoice_id uuid NOT NULL REFERENCES invoices ON DELETE CASCADE,
  method text NOT NULL, amount numeric(14,2) NOT NULL, paid_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE gold_rates (
  id uuid PRIMARY KEY, metal text NOT NULL, karat int NOT NULL, rate numeric(12,2) NOT NULL,
  effective_at timestamptz NOT NULL);
-- An old-style integer key, as many ERPs still have: `assay init` strides its sequence by branch number.
CREATE TABLE vouchers (
  id serial PRIMARY KEY, branch text NOT NULL, note text, amount numeric(12,2), updated_at timestamptz DEFAULT now());

-- One sale of `pieces` different products: an invoice, its lines and the payment, in the caller's transaction.
CREATE FUNCTION sell(branch_code text, invoice_number text, pieces int) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
  invoice uuid := gen_random_uuid();
  seller uuid := (SELECT id FROM branches WHERE code = branch_code);
BEGIN
  INSERT INTO invoices (id, branch_id, customer_id, number, total)
    VALUES (invoice, seller, (SELECT id FROM customers WHERE branch_id = seller ORDER BY random() LIMIT 1), invoice_number, 0);
  INSERT INTO invoice_lines (invoice_id, product_id, qty, unit_price, making_charge, line_total)
    SELECT invoice, id, 1, price, making_charge, price + making_charge FROM products ORDER BY random() LIMIT pieces;
  UPDATE invoices SET total = (SELECT sum(line_total) FROM invoice_lines WHERE invoice_id = invoice) WHERE id = invoice;
  INSERT INTO payments (invoice_id, method, amount) SELECT id, 'upi', total FROM invoices WHERE id = invoice;
  RETURN invoice;
END $$;
