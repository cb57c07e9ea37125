-- A small jewellery ERP: the tables every branch holds.
CREATE TABLE branches (
  id uuid PRIMARY KEY, code text NOT NULL UNIQUE, name text NOT NULL);
CREATE TABLE customers (
  id uuid PRIMARY KEY, branch_id uuid NOT NULL REFERENCES branches, name text NOT NULL,
  phone text, updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE products (
  id uuid PRIMARY KEY, sku text NOT NULL UNIQUE, name text NOT NULL, metal text NOT NULL,
  karat int NOT NULL, gross_weight numeric(10,3) NOT NULL, making_charge numeric(12,2) NOT NULL,
  price numeric(12,2) NOT NULL, stock_qty int NOT NULL, description text,
  updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE invoices (
  id uuid PRIMARY KEY, branch_id uuid NOT NULL REFERENCES branches,
  customer_id uuid NOT NULL REFERENCES customers, number text NOT NULL,
  total numeric(14,2) NOT NULL, status text NOT NULL DEFAULT 'final',
  created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE invoice_lines (
  id uuid PRIMARY KEY, invoice_id uuid NOT NULL REFERENCES invoices,
  product_id uuid NOT NULL REFERENCES products, qty int NOT NULL, unit_price numeric(12,2) NOT NULL,
  making_charge numeric(12,2) NOT NULL, line_total numeric(14,2) NOT NULL);
CREATE INDEX ON invoice_lines (invoice_id);
CREATE TABLE payments (
  id uuid PRIMARY KEY, invoice_id uuid NOT NULL REFERENCES invoices, method text NOT NULL,
  amount numeric(14,2) NOT NULL, paid_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE gold_rates (
  id uuid PRIMARY KEY, metal text NOT NULL, karat int NOT NULL, rate numeric(12,2) NOT NULL,
  effective_at timestamptz NOT NULL);
-- old-style table with an integer key, as many ERPs still have
CREATE TABLE vouchers (
  id serial PRIMARY KEY, branch text NOT NULL, note text, amount numeric(12,2), updated_at timestamptz DEFAULT now());
-- last write of a run: replication has caught up when a node shows it
CREATE TABLE bench_marker (id int PRIMARY KEY, v bigint NOT NULL);
-- latency probe
CREATE TABLE bench_probe (id bigint PRIMARY KEY, t timestamptz NOT NULL DEFAULT clock_timestamp());

CREATE PROCEDURE bulk_insert(lo int, cnt int, batch int) LANGUAGE plpgsql AS $$
DECLARE i int := 0;
BEGIN
  WHILE i < cnt LOOP
    INSERT INTO products
      SELECT md5('p'||g)::uuid, 'SKU-'||g, 'Bangle '||g, 'gold', 22, 10 + g%500/10.0, 500 + g%1000,
             50000 + g%90000, 5, 'hallmarked piece, tray '||(g%400)||', supplier lot '||g, clock_timestamp()
      FROM generate_series(lo+i, lo+i+batch-1) g;
    COMMIT; i := i + batch;
  END LOOP;
END $$;
-- cnt updates spread evenly over products 1..hot, batch rows per transaction
CREATE PROCEDURE bulk_update(hot int, cnt int, batch int) LANGUAGE plpgsql AS $$
DECLARE i int := 0;
BEGIN
  WHILE i < cnt LOOP
    UPDATE products p SET price = price + 1, stock_qty = stock_qty - 1, updated_at = clock_timestamp()
      FROM generate_series(i % hot + 1, i % hot + batch) g WHERE p.id = md5('p'||g)::uuid;
    COMMIT; i := i + batch;
  END LOOP;
END $$;
-- cnt sales, one transaction each: the same eight row changes as sale.pgbench, without its round trips
CREATE PROCEDURE bulk_sales(n int, cnt int) LANGUAGE plpgsql AS $$
DECLARE i uuid; c uuid; p uuid;
BEGIN
  FOR k IN 1 .. cnt LOOP
    i := gen_random_uuid();
    SELECT md5('c'||(1 + floor(random() * 1000))::int)::uuid INTO c;
    INSERT INTO invoices (id, branch_id, customer_id, number, total) VALUES (i, md5('b'||(k % 4 + 1))::uuid, c, 'INV-'||k, 150000.00);
    FOR l IN 0 .. 2 LOOP
      SELECT md5('p'||(l * (n / 3) + 1 + floor(random() * (n / 3)))::int)::uuid INTO p;
      INSERT INTO invoice_lines VALUES (gen_random_uuid(), i, p, 1, 50000.00, 500.00, 50500.00);
      UPDATE products SET stock_qty = stock_qty - 1, price = price + 1, updated_at = clock_timestamp() WHERE id = p;
    END LOOP;
    INSERT INTO payments (id, invoice_id, method, amount) VALUES (gen_random_uuid(), i, 'upi', 150000.00);
    COMMIT;
  END LOOP;
END $$;
