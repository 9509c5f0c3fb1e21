//! Names, OIDs and columns of the tables of `pg_catalog` and `information_schema`, as PostgreSQL 15 has them, with the
//! types that are not here replaced by the nearest one: `"char"` by text, `regproc` by oid.

/// Schema, name, OID, and columns as `name:type`.
pub(super) type Shape = (&'static str, &'static str, u32, &'static str);

pub(super) const PG: &str = "pg_catalog";
pub(super) const INFO: &str = "information_schema";

#[rustfmt::skip]
pub(super) static SHAPES: &[Shape] = &[
    (PG, "pg_class", 1259, "oid:oid relname:name relnamespace:oid reltype:oid reloftype:oid relowner:oid relam:oid \
         relfilenode:oid reltablespace:oid relpages:int4 reltuples:float4 relallvisible:int4 \
         reltoastrelid:oid relhasindex:bool relisshared:bool relpersistence:text relkind:text \
         relnatts:int2 relchecks:int2 relhasrules:bool relhastriggers:bool relhassubclass:bool \
         relrowsecurity:bool relforcerowsecurity:bool relispopulated:bool relreplident:text \
         relispartition:bool relrewrite:oid relfrozenxid:int8 relminmxid:int8 relacl:text[] \
         reloptions:text[] relpartbound:text"),
    (PG, "pg_namespace", 2615, "oid:oid nspname:name nspowner:oid nspacl:text[]"),
    (PG, "pg_attribute", 1249, "attrelid:oid attname:name atttypid:oid attstattarget:int4 attlen:int2 attnum:int2 attndims:int4 \
         attcacheoff:int4 atttypmod:int4 attbyval:bool attalign:text attstorage:text attcompression:text \
         attnotnull:bool atthasdef:bool atthasmissing:bool attidentity:text attgenerated:text \
         attisdropped:bool attislocal:bool attinhcount:int4 attcollation:oid attacl:text[] \
         attoptions:text[] attfdwoptions:text[] attmissingval:text[]"),
    (PG, "pg_type", 1247, "oid:oid typname:name typnamespace:oid typowner:oid typlen:int2 typbyval:bool typtype:text \
         typcategory:text typispreferred:bool typisdefined:bool typdelim:text typrelid:oid \
         typsubscript:oid typelem:oid typarray:oid typinput:oid typoutput:oid typreceive:oid typsend:oid \
         typmodin:oid typmodout:oid typanalyze:oid typalign:text typstorage:text typnotnull:bool \
         typbasetype:oid typtypmod:int4 typndims:int4 typcollation:oid typdefaultbin:text typdefault:text \
         typacl:text[]"),
    (PG, "pg_database", 1262, "oid:oid datname:name datdba:oid encoding:int4 datlocprovider:text datistemplate:bool \
         datallowconn:bool datconnlimit:int4 datfrozenxid:int8 datminmxid:int8 dattablespace:oid \
         datcollate:text datctype:text daticulocale:text datcollversion:text datacl:text[]"),
    (PG, "pg_roles", 11001, "rolname:name rolsuper:bool rolinherit:bool rolcreaterole:bool rolcreatedb:bool rolcanlogin:bool \
         rolreplication:bool rolconnlimit:int4 rolpassword:text rolvaliduntil:timestamptz \
         rolbypassrls:bool rolconfig:text[] oid:oid"),
    (PG, "pg_authid", 1260, "oid:oid rolname:name rolsuper:bool rolinherit:bool rolcreaterole:bool rolcreatedb:bool \
         rolcanlogin:bool rolreplication:bool rolbypassrls:bool rolconnlimit:int4 rolpassword:text \
         rolvaliduntil:timestamptz"),
    (PG, "pg_auth_members", 1261, "roleid:oid member:oid grantor:oid admin_option:bool"),
    (PG, "pg_index", 2610, "indexrelid:oid indrelid:oid indnatts:int2 indnkeyatts:int2 indisunique:bool \
         indnullsnotdistinct:bool indisprimary:bool indisexclusion:bool indimmediate:bool \
         indisclustered:bool indisvalid:bool indcheckxmin:bool indisready:bool indislive:bool \
         indisreplident:bool indkey:int2vector indcollation:oidvector indclass:oidvector indoption:int2vector \
         indexprs:text indpred:text"),
    (PG, "pg_am", 2601, "oid:oid amname:name amhandler:oid amtype:text"),
    (PG, "pg_constraint", 2606, "oid:oid conname:name connamespace:oid contype:text condeferrable:bool condeferred:bool \
         convalidated:bool conrelid:oid contypid:oid conindid:oid conparentid:oid confrelid:oid \
         confupdtype:text confdeltype:text confmatchtype:text conislocal:bool coninhcount:int4 \
         connoinherit:bool conkey:int2[] confkey:int2[] conpfeqop:oid[] conppeqop:oid[] conffeqop:oid[] \
         confdelsetcols:int2[] conexclop:oid[] conbin:text"),
    (PG, "pg_attrdef", 2604, "oid:oid adrelid:oid adnum:int2 adbin:text"),
    (PG, "pg_description", 2609, "objoid:oid classoid:oid objsubid:int4 description:text"),
    (PG, "pg_shdescription", 2396, "objoid:oid classoid:oid description:text"),
    (PG, "pg_tables", 11002, "schemaname:name tablename:name tableowner:name tablespace:name hasindexes:bool hasrules:bool \
         hastriggers:bool rowsecurity:bool"),
    (PG, "pg_views", 11003, "schemaname:name viewname:name viewowner:name definition:text"),
    (PG, "pg_matviews", 11004, "schemaname:name matviewname:name matviewowner:name tablespace:name hasindexes:bool \
         ispopulated:bool definition:text"),
    (PG, "pg_indexes", 11005, "schemaname:name tablename:name indexname:name tablespace:name indexdef:text"),
    (PG, "pg_settings", 11006, "name:text setting:text unit:text category:text short_desc:text extra_desc:text context:text \
         vartype:text source:text min_val:text max_val:text enumvals:text[] boot_val:text reset_val:text \
         sourcefile:text sourceline:int4 pending_restart:bool"),
    (PG, "pg_proc", 1255, "oid:oid proname:name pronamespace:oid proowner:oid prolang:oid procost:float4 prorows:float4 \
         provariadic:oid prosupport:oid prokind:text prosecdef:bool proleakproof:bool proisstrict:bool \
         proretset:bool provolatile:text proparallel:text pronargs:int2 pronargdefaults:int2 \
         prorettype:oid proargtypes:oidvector proallargtypes:oid[] proargmodes:text[] proargnames:text[] \
         proargdefaults:text protrftypes:oid[] prosrc:text probin:text prosqlbody:text proconfig:text[] \
         proacl:text[]"),
    (PG, "pg_collation", 3456, "oid:oid collname:name collnamespace:oid collowner:oid collprovider:text collisdeterministic:bool \
         collencoding:int4 collcollate:text collctype:text colliculocale:text collversion:text"),
    (PG, "pg_inherits", 2611, "inhrelid:oid inhparent:oid inhseqno:int4 inhdetachpending:bool"),
    (PG, "pg_policy", 3256, "oid:oid polname:name polrelid:oid polcmd:text polpermissive:bool polroles:oid[] polqual:text \
         polwithcheck:text"),
    (PG, "pg_publication", 6104, "oid:oid pubname:name pubowner:oid puballtables:bool pubinsert:bool pubupdate:bool pubdelete:bool \
         pubtruncate:bool pubviaroot:bool"),
    (PG, "pg_publication_rel", 6106, "oid:oid prpubid:oid prrelid:oid prqual:text prattrs:int2[]"),
    (PG, "pg_publication_namespace", 6237, "oid:oid pnpubid:oid pnnspid:oid"),
    (PG, "pg_statistic_ext", 3381, "oid:oid stxrelid:oid stxname:name stxnamespace:oid stxowner:oid stxstattarget:int4 \
         stxkeys:int2[] stxkind:text[] stxexprs:text"),
    (PG, "pg_trigger", 2620, "oid:oid tgrelid:oid tgparentid:oid tgname:name tgfoid:oid tgtype:int2 tgenabled:text \
         tgisinternal:bool tgconstrrelid:oid tgconstrindid:oid tgconstraint:oid tgdeferrable:bool \
         tginitdeferred:bool tgnargs:int2 tgattr:int2vector tgargs:bytea tgqual:text tgoldtable:name \
         tgnewtable:name"),
    (PG, "pg_rewrite", 2618, "oid:oid rulename:name ev_class:oid ev_type:text ev_enabled:text is_instead:bool ev_qual:text \
         ev_action:text"),
    (PG, "pg_foreign_table", 3118, "ftrelid:oid ftserver:oid ftoptions:text[]"),
    (PG, "pg_foreign_server", 1417, "oid:oid srvname:name srvowner:oid srvfdw:oid srvtype:text srvversion:text srvacl:text[] \
         srvoptions:text[]"),
    (PG, "pg_tablespace", 1213, "oid:oid spcname:name spcowner:oid spcacl:text[] spcoptions:text[]"),
    (PG, "pg_range", 3541, "rngtypid:oid rngsubtype:oid rngmultitypid:oid rngcollation:oid rngsubopc:oid rngcanonical:oid \
         rngsubdiff:oid"),
    (PG, "pg_enum", 3501, "oid:oid enumtypid:oid enumsortorder:float4 enumlabel:name"),
    (PG, "pg_partitioned_table", 3350, "partrelid:oid partstrat:text partnatts:int2 partdefid:oid partattrs:int2vector partclass:oidvector \
         partcollation:oidvector partexprs:text"),
    (PG, "pg_sequence", 2224, "seqrelid:oid seqtypid:oid seqstart:int8 seqincrement:int8 seqmax:int8 seqmin:int8 seqcache:int8 \
         seqcycle:bool"),
    (PG, "pg_depend", 2608, "classid:oid objid:oid objsubid:int4 refclassid:oid refobjid:oid refobjsubid:int4 deptype:text"),
    (PG, "pg_extension", 3079, "oid:oid extname:name extowner:oid extnamespace:oid extrelocatable:bool extversion:text \
         extconfig:oid[] extcondition:text[]"),
    (PG, "pg_language", 2612, "oid:oid lanname:name lanowner:oid lanispl:bool lanpltrusted:bool lanplcallfoid:oid laninline:oid \
         lanvalidator:oid lanacl:text[]"),
    (PG, "pg_operator", 2617, "oid:oid oprname:name oprnamespace:oid oprowner:oid oprkind:text oprcanmerge:bool oprcanhash:bool \
         oprleft:oid oprright:oid oprresult:oid oprcom:oid oprnegate:oid oprcode:oid oprrest:oid \
         oprjoin:oid"),
    (PG, "pg_cast", 2605, "oid:oid castsource:oid casttarget:oid castfunc:oid castcontext:text castmethod:text"),
    (PG, "pg_aggregate", 2600, "aggfnoid:oid aggkind:text aggnumdirectargs:int2 aggtransfn:oid aggfinalfn:oid aggcombinefn:oid \
         aggserialfn:oid aggdeserialfn:oid aggmtransfn:oid aggminvtransfn:oid aggmfinalfn:oid \
         aggfinalextra:bool aggmfinalextra:bool aggfinalmodify:text aggmfinalmodify:text aggsortop:oid \
         aggtranstype:oid aggtransspace:int4 aggmtranstype:oid aggmtransspace:int4 agginitval:text \
         aggminitval:text"),
    (PG, "pg_opclass", 2616, "oid:oid opcmethod:oid opcname:name opcnamespace:oid opcowner:oid opcfamily:oid opcintype:oid \
         opcdefault:bool opckeytype:oid"),
    (PG, "pg_event_trigger", 3466, "oid:oid evtname:name evtevent:name evtowner:oid evtfoid:oid evtenabled:text evttags:text[]"),
    (PG, "pg_user", 11007, "usename:name usesysid:oid usecreatedb:bool usesuper:bool userepl:bool usebypassrls:bool \
         passwd:text valuntil:timestamptz useconfig:text[]"),
    (PG, "pg_sequences", 11008, "schemaname:name sequencename:name sequenceowner:name data_type:oid start_value:int8 \
         min_value:int8 max_value:int8 increment_by:int8 cycle:bool cache_size:int8 last_value:int8"),
    (PG, "pg_foreign_data_wrapper", 2328, "oid:oid fdwname:name fdwowner:oid fdwhandler:oid fdwvalidator:oid fdwacl:text[] \
         fdwoptions:text[]"),
    (PG, "pg_opfamily", 2753, "oid:oid opfmethod:oid opfname:name opfnamespace:oid opfowner:oid"),
    (PG, "pg_amop", 2602, "oid:oid amopfamily:oid amoplefttype:oid amoprighttype:oid amopstrategy:int2 amoppurpose:text \
         amopopr:oid amopmethod:oid amopsortfamily:oid"),
    (PG, "pg_amproc", 2603, "oid:oid amprocfamily:oid amproclefttype:oid amprocrighttype:oid amprocnum:int2 amproc:oid"),
    (PG, "pg_conversion", 2607, "oid:oid conname:name connamespace:oid conowner:oid conforencoding:int4 contoencoding:int4 \
         conproc:oid condefault:bool"),
    (PG, "pg_parameter_acl", 6243, "oid:oid parname:text paracl:text[]"),
    (PG, "pg_default_acl", 826, "oid:oid defaclrole:oid defaclnamespace:oid defaclobjtype:text defaclacl:text[]"),
    (PG, "pg_user_mappings", 11009, "umid:oid srvid:oid srvname:name umuser:oid usename:name umoptions:text[]"),
    (PG, "pg_ts_config", 3602, "oid:oid cfgname:name cfgnamespace:oid cfgowner:oid cfgparser:oid"),
    (PG, "pg_ts_config_map", 3603, "mapcfg:oid maptokentype:int4 mapseqno:int4 mapdict:oid"),
    (PG, "pg_ts_dict", 3600, "oid:oid dictname:name dictnamespace:oid dictowner:oid dicttemplate:oid dictinitoption:text"),
    (PG, "pg_ts_parser", 3601, "oid:oid prsname:name prsnamespace:oid prsstart:oid prstoken:oid prsend:oid prsheadline:oid \
         prslextype:oid"),
    (PG, "pg_ts_template", 3764, "oid:oid tmplname:name tmplnamespace:oid tmplinit:oid tmpllexize:oid"),
    (PG, "pg_largeobject_metadata", 2995, "oid:oid lomowner:oid lomacl:text[]"),
    (PG, "pg_db_role_setting", 2964, "setdatabase:oid setrole:oid setconfig:text[]"),
    (PG, "pg_subscription", 6100, "oid:oid subdbid:oid subskiplsn:text subname:name subowner:oid subenabled:bool subbinary:bool \
         substream:bool subtwophasestate:text subdisableonerr:bool subconninfo:text subslotname:name \
         subsynccommit:text subpublications:text[]"),
    (PG, "pg_shdepend", 1214, "dbid:oid classid:oid objid:oid objsubid:int4 refclassid:oid refobjid:oid deptype:text"),
    (PG, "pg_stat_activity", 11010, "datid:oid datname:name pid:int4 leader_pid:int4 usesysid:oid usename:name application_name:text \
         client_addr:text client_hostname:text client_port:int4 backend_start:timestamptz xact_start:timestamptz \
         query_start:timestamptz state_change:timestamptz wait_event_type:text wait_event:text state:text \
         backend_xid:int8 backend_xmin:int8 query_id:int8 query:text backend_type:text"),
    (PG, "pg_stat_user_tables", 11011, "relid:oid schemaname:name relname:name seq_scan:int8 seq_tup_read:int8 idx_scan:int8 \
         idx_tup_fetch:int8 n_tup_ins:int8 n_tup_upd:int8 n_tup_del:int8 n_tup_hot_upd:int8 n_live_tup:int8 \
         n_dead_tup:int8 n_mod_since_analyze:int8 n_ins_since_vacuum:int8 last_vacuum:timestamptz \
         last_autovacuum:timestamptz last_analyze:timestamptz last_autoanalyze:timestamptz vacuum_count:int8 \
         autovacuum_count:int8 analyze_count:int8 autoanalyze_count:int8"),
    (PG, "pg_transform", 3576, "oid:oid trftype:oid trflang:oid trffromsql:oid trftosql:oid"),
    (INFO, "tables", 13009, "table_catalog:name table_schema:name table_name:name table_type:text \
         self_referencing_column_name:name reference_generation:text user_defined_type_catalog:name \
         user_defined_type_schema:name user_defined_type_name:name is_insertable_into:text is_typed:text \
         commit_action:text"),
    (INFO, "columns", 13010, "table_catalog:name table_schema:name table_name:name column_name:name ordinal_position:int4 \
         column_default:text is_nullable:text data_type:text character_maximum_length:int4 \
         character_octet_length:int4 numeric_precision:int4 numeric_precision_radix:int4 \
         numeric_scale:int4 datetime_precision:int4 interval_type:text interval_precision:int4 \
         character_set_catalog:name character_set_schema:name character_set_name:name \
         collation_catalog:name collation_schema:name collation_name:name domain_catalog:name \
         domain_schema:name domain_name:name udt_catalog:name udt_schema:name udt_name:name \
         scope_catalog:name scope_schema:name scope_name:name maximum_cardinality:int4 \
         dtd_identifier:name is_self_referencing:text is_identity:text identity_generation:text \
         identity_start:text identity_increment:text identity_maximum:text identity_minimum:text \
         identity_cycle:text is_generated:text generation_expression:text is_updatable:text"),
    (INFO, "schemata", 13011, "catalog_name:name schema_name:name schema_owner:name default_character_set_catalog:name \
         default_character_set_schema:name default_character_set_name:name sql_path:text"),
    (INFO, "key_column_usage", 13012, "constraint_catalog:name constraint_schema:name constraint_name:name table_catalog:name \
         table_schema:name table_name:name column_name:name ordinal_position:int4 \
         position_in_unique_constraint:int4"),
    (INFO, "table_constraints", 13013, "constraint_catalog:name constraint_schema:name constraint_name:name table_catalog:name \
         table_schema:name table_name:name constraint_type:text is_deferrable:text \
         initially_deferred:text enforced:text nulls_distinct:text"),
    (INFO, "views", 13014, "table_catalog:name table_schema:name table_name:name view_definition:text check_option:text \
         is_updatable:text is_insertable_into:text is_trigger_updatable:text is_trigger_deletable:text \
         is_trigger_insertable_into:text"),
    (INFO, "constraint_column_usage", 13015, "table_catalog:name table_schema:name table_name:name column_name:name constraint_catalog:name \
         constraint_schema:name constraint_name:name"),
    (INFO, "referential_constraints", 13016, "constraint_catalog:name constraint_schema:name constraint_name:name \
         unique_constraint_catalog:name unique_constraint_schema:name unique_constraint_name:name \
         match_option:text update_rule:text delete_rule:text"),
    (INFO, "check_constraints", 13017, "constraint_catalog:name constraint_schema:name constraint_name:name check_clause:text"),
    (INFO, "sequences", 13018, "sequence_catalog:name sequence_schema:name sequence_name:name data_type:text \
         numeric_precision:int4 numeric_precision_radix:int4 numeric_scale:int4 start_value:text \
         minimum_value:text maximum_value:text increment:text cycle_option:text"),
    (INFO, "user_tables", 13019, "tableId:text name:text indexes:ion status:text"),
];
