-- For SDKs that look for inputs, outputs and errors in workflow_status only (before shared migration 113: Java 1.1, TypeScript 4): copies
-- them there from workflow_input and workflow_output, whoever writes them. Run by a superuser or the owner of both schemas:
--   psql -v ON_ERROR_STOP=1 -1 -f docs/old-readers.sql DATABASE
-- From then on; what was written before stays unread. It costs a second copy of each payload. To undo it:
--   DROP FUNCTION dbos_ops.mirror_input, dbos_ops.mirror_output CASCADE;
CREATE OR REPLACE FUNCTION dbos_ops.mirror_input()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  UPDATE dbos.workflow_status AS w SET inputs = c.inputs
  FROM changed AS c WHERE w.workflow_uuid = c.workflow_uuid AND w.inputs IS DISTINCT FROM c.inputs;
  RETURN NULL;
END;
$$;
COMMENT ON FUNCTION dbos_ops.mirror_input() IS 'Copies inputs to workflow_status, for SDKs that look for them there.';

CREATE OR REPLACE FUNCTION dbos_ops.mirror_output()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  UPDATE dbos.workflow_status AS w SET output = c.output, error = c.error
  FROM changed AS c WHERE w.workflow_uuid = c.workflow_uuid AND (w.output, w.error) IS DISTINCT FROM (c.output, c.error);
  RETURN NULL;
END;
$$;
COMMENT ON FUNCTION dbos_ops.mirror_output() IS 'Copies outputs and errors to workflow_status, for SDKs that look for them there.';

CREATE OR REPLACE TRIGGER mirror_inserted AFTER INSERT ON dbos.workflow_input
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION dbos_ops.mirror_input();
CREATE OR REPLACE TRIGGER mirror_updated AFTER UPDATE ON dbos.workflow_input
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION dbos_ops.mirror_input();
CREATE OR REPLACE TRIGGER mirror_inserted AFTER INSERT ON dbos.workflow_output
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION dbos_ops.mirror_output();
CREATE OR REPLACE TRIGGER mirror_updated AFTER UPDATE ON dbos.workflow_output
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION dbos_ops.mirror_output();
