-- The same rows at every branch, as when each shop was installed from one copy of the database. psql -v products=500 -f …
INSERT INTO branches VALUES
  (md5('b1')::uuid, 'MUM', 'Mumbai, Zaveri Bazaar'), (md5('b2')::uuid, 'PUN', 'Pune, Laxmi Road');
INSERT INTO customers
  SELECT md5('c' || g)::uuid, md5('b' || (g % 2 + 1))::uuid,
         (ARRAY['Asha', 'Rohan', 'Meera', 'Kiran', 'Farah', 'Anil', 'Leela', 'Vikram'])[g % 8 + 1] || ' ' ||
         (ARRAY['Patil', 'Shah', 'Kulkarni', 'Mehta', 'Khan', 'Joshi', 'Desai'])[g % 7 + 1],
         '+91-' || (9000000000 + g), '2026-01-01'
  FROM generate_series(1, 200) g;
INSERT INTO products
  SELECT md5('p' || g)::uuid, 'SKU-' || g,
         (ARRAY['Bangle', 'Ring', 'Mangalsutra', 'Chain', 'Jhumka', 'Pendant'])[g % 6 + 1] || ' ' || g,
         'gold', (ARRAY[18, 22, 24])[g % 3 + 1], 4 + g % 500 / 10.0, 500 + g % 1000, 50000 + g % 90000,
         'tray ' || g % 40, 'hallmarked, supplier lot ' || g
  FROM generate_series(1, :products) g;
INSERT INTO gold_rates
  SELECT md5('r' || g)::uuid, 'gold', 22, 6000 + g, '2026-01-01'::timestamptz + g * interval '1 day' FROM generate_series(1, 100) g;
