-- Which steps call another service.
\set SHOW_CONTEXT never
\set ECHO errors
\getenv root PG_ABS_SRCDIR
\set setup :root /sql/include/setup.psql
\i :setup
TRUNCATE dbos_ops.step_classes, dbos_ops.limits;
INSERT INTO dbos.workflow_status (workflow_uuid, status, name) VALUES ('w', 'SUCCESS', 'checkout');
INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, child_workflow_id)
SELECT 'w', f.place, f.name, CASE f.name WHEN 'ship' THEN 'child' END
FROM unnest(ARRAY['charge', 'charge', 'stripe.refund', 'stripe.list', 'stripexlist', 'a%b', 'a_b', 'aXb', 'DBOS.sleep', 'ship']) WITH ORDINALITY AS f(name, place);
\set ECHO all

SELECT name, runs, outbound FROM dbos_sys.step_classes();
SELECT dbos_sys.classify_step('stripe.*', limit_name => 'stripe');
SELECT dbos_sys.classify_step('stripe.list', outbound => false);
SELECT dbos_sys.classify_step('charge');
SELECT dbos_sys.classify_step('a_b', outbound => false);
SELECT dbos_sys.classify_step('a%*', outbound => false);
SELECT * FROM dbos_sys.step_classes();
-- The longer pattern counts; said again, the last word.
SELECT dbos_sys.classify_step('stripe*', outbound => false);
SELECT dbos_sys.classify_step('charge', limit_name => 'stripe');
SELECT * FROM dbos_sys.step_classes() WHERE name ~ 'stripe|charge';

-- The line of the doctor: outbound steps without a registered limit, and what nobody classified.
SELECT state, finding FROM dbos_sys.doctor('{throttling}');
SELECT dbos_sys.register_limit('stripe', rate => 10);
SELECT state, finding, mend FROM dbos_sys.doctor('{throttling}');
SELECT dbos_sys.classify_step('aXb', outbound => false);
SELECT state, finding, mend FROM dbos_sys.doctor('{throttling}');
SELECT dbos_sys.unclassify_step('charge'), dbos_sys.unclassify_step('charge');
SELECT state, finding FROM dbos_sys.doctor('{throttling}');

-- What a program declares: noted, changed by the next, and nothing against classify_step().
SELECT dbos_sys.declare_steps('{charge,aXb,stripe.list,mail}', '{NULL,NULL,x,mailer}');
SELECT dbos_sys.declare_steps('{mail,mail,charge," ",*}', '{mailer2,mailer2,NULL,NULL,NULL}');
SELECT dbos_sys.declare_steps('{}', '{}');
SELECT pattern, outbound, limit_name, declared FROM dbos_ops.step_classes ORDER BY 1;
SELECT dbos_sys.classify_step('charge');
SELECT dbos_sys.declare_steps('{charge}', '{stripe}');
SELECT pattern, outbound, limit_name, declared FROM dbos_ops.step_classes WHERE pattern = 'charge';

-- Bad input.
SELECT dbos_sys.declare_steps('{a}', '{}');
SELECT dbos_sys.classify_step(NULL);
SELECT dbos_sys.classify_step(' ');
SELECT dbos_sys.classify_step(repeat('s', 1000));
SELECT dbos_sys.classify_step('*');
SELECT dbos_sys.classify_step('**', outbound => false);
SELECT dbos_sys.classify_step('charge', outbound => NULL);
SELECT dbos_sys.classify_step('charge', outbound => false, limit_name => 'stripe');
SELECT dbos_sys.classify_step('charge', limit_name => '');
SELECT dbos_sys.unclassify_step(NULL);
SELECT * FROM dbos_ops.step_classes WHERE pattern !~ '^(stripe|a)';
TRUNCATE dbos_ops.step_classes, dbos_ops.limits;
