-- Everything that the catalogs say about the extension pg_fernet and what is in
-- it, as text: two databases that print the same have the same extension,
-- whatever the way to it. Run by psql with -A and -t.

CREATE TEMPORARY VIEW object AS
WITH RECURSIVE object(classid, objid) AS (
	SELECT 'pg_extension'::regclass::oid, oid FROM pg_extension WHERE extname = 'pg_fernet'
	UNION
	SELECT d.classid, d.objid FROM pg_depend AS d JOIN object AS o
		ON d.refclassid = o.classid AND d.refobjid = o.objid
	-- what is in the extension, and what belongs to that
	WHERE d.deptype IN ('e', 'i', 'a', 'P', 'S'))
SELECT classid, objid, pg_describe_object(classid, objid, 0) AS name
FROM object
-- A TOAST table comes by itself, and is named after an oid.
WHERE NOT (classid = 'pg_class'::regclass
	AND objid IN (SELECT oid FROM pg_class WHERE relnamespace = 'pg_toast'::regnamespace));

\echo -- the extension
SELECT extname, extversion, extrelocatable, extnamespace::regnamespace, extowner::regrole,
	(SELECT string_agg(c.oid::regclass || ' ' || quote_literal(e.extcondition[c.place]), ', ' ORDER BY c.oid::regclass::text)
		FROM unnest(e.extconfig) WITH ORDINALITY AS c(oid, place))
FROM pg_extension AS e WHERE extname = 'pg_fernet';

\echo -- objects, and those of a kind that is not described below
SELECT name FROM object ORDER BY name COLLATE "C";
SELECT 'not described: ' || name FROM object
WHERE classid NOT IN ('pg_extension'::regclass, 'pg_proc'::regclass, 'pg_class'::regclass, 'pg_type'::regclass,
	'pg_constraint'::regclass, 'pg_attrdef'::regclass, 'pg_policy'::regclass, 'pg_rewrite'::regclass, 'pg_trigger'::regclass)
	OR classid = 'pg_type'::regclass
		AND objid IN (SELECT oid FROM pg_type WHERE typtype <> 'c' AND typcategory <> 'A')
ORDER BY name COLLATE "C";

\echo -- on what they depend
SELECT DISTINCT (o.name || CASE WHEN d.objsubid <> 0 THEN ' (' || d.objsubid || ')' ELSE '' END) COLLATE "C",
	pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid) COLLATE "C", d.deptype
FROM pg_depend AS d JOIN object AS o USING (classid, objid)
ORDER BY 1, 2, 3;

\echo -- functions
-- Without what has oids or places in the script's text; the definition has that.
SELECT o.name, pg_get_functiondef(p.oid),
	to_jsonb(p) - '{oid,pronamespace,proowner,prorettype,proargtypes,proallargtypes,prosqlbody,proargdefaults,proacl}'::text[],
	p.proowner::regrole, p.pronamespace::regnamespace, p.proacl
FROM object AS o JOIN pg_proc AS p ON o.classid = 'pg_proc'::regclass AND p.oid = o.objid
ORDER BY o.name COLLATE "C";

\echo -- relations
SELECT o.name, c.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity, c.relreplident, c.reloptions,
	c.relowner::regrole, c.relnamespace::regnamespace, c.relacl,
	CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) WHEN c.relkind = 'i' THEN pg_get_indexdef(c.oid) END,
	(SELECT to_jsonb(s) - '{seqrelid}'::text[] FROM pg_sequence AS s WHERE s.seqrelid = c.oid)
FROM object AS o JOIN pg_class AS c ON o.classid = 'pg_class'::regclass AND c.oid = o.objid
ORDER BY o.name COLLATE "C";

\echo -- columns
-- By their order: a column that was dropped leaves a gap in the numbers. The
-- option pg_attver is the server's own, and another one at each creation.
SELECT o.name, row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum), a.attname,
	format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated,
	a.attstorage, a.attcompression, a.attcollation::regcollation, a.attacl,
	(SELECT array_agg(option) FROM unnest(a.attoptions) AS option WHERE option NOT LIKE 'pg_attver=%')
FROM object AS o JOIN pg_attribute AS a ON o.classid = 'pg_class'::regclass AND a.attrelid = o.objid
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped
ORDER BY o.name COLLATE "C", 2;

\echo -- constraints, policies and triggers
SELECT o.name, pg_get_constraintdef(c.oid), c.convalidated, c.condeferrable, c.condeferred
FROM object AS o JOIN pg_constraint AS c ON o.classid = 'pg_constraint'::regclass AND c.oid = o.objid
ORDER BY o.name COLLATE "C";
SELECT o.name, p.polcmd, p.polpermissive, p.polroles::regrole[], pg_get_expr(p.polqual, p.polrelid),
	pg_get_expr(p.polwithcheck, p.polrelid)
FROM object AS o JOIN pg_policy AS p ON o.classid = 'pg_policy'::regclass AND p.oid = o.objid
ORDER BY o.name COLLATE "C";
SELECT o.name, pg_get_triggerdef(t.oid), t.tgenabled
FROM object AS o JOIN pg_trigger AS t ON o.classid = 'pg_trigger'::regclass AND t.oid = o.objid
ORDER BY o.name COLLATE "C";

\echo -- comments, and the privileges that a dump takes for granted
SELECT o.name, d.objsubid, d.description
FROM object AS o JOIN pg_description AS d ON d.classoid = o.classid AND d.objoid = o.objid
ORDER BY o.name COLLATE "C", d.objsubid;
SELECT o.name, p.objsubid, p.privtype, p.initprivs
FROM object AS o JOIN pg_init_privs AS p ON p.classoid = o.classid AND p.objoid = o.objid
ORDER BY o.name COLLATE "C", p.objsubid;
