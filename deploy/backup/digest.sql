-- One line per table: schema.table|rows|sum of a hash of each row. The order of rows does not matter, so two databases
-- with the same lines hold the same rows.
\pset tuples_only on
\pset format unaligned
SELECT format(
  $query$SELECT '%1$I.%2$I', count(*), coalesce(sum(('x' || substr(md5(t::text), 1, 15))::bit(60)::bigint), 0) FROM %1$I.%2$I t$query$,
  n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname IN ('identity', 'rbac', 'audit')
ORDER BY n.nspname, c.relname
\gexec
