\echo Use "CREATE EXTENSION dbos_sys" to load this file. \quit
