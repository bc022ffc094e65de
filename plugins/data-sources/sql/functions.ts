/**
 * Functions that a query may call: they only compute or look things up. What is not named is refused, because nobody can tell what
 * a function of an extension, or one that somebody made, does (read files, run text as SQL, call other servers, sleep, take locks).
 * An operator who knows better adds names to the plugin's options.
 */
const words = (text: string): ReadonlySet<string> => new Set(text.split(/\s+/).filter(Boolean));

/** Immutable and stable functions of PostgreSQL's catalogue without those for internal use, and harmless volatile ones. */
export const POSTGRESQL_FUNCTIONS = words(`
  abbrev abs acos acosd acosh age any_value area array_agg array_append array_cat array_dims array_fill array_length
  array_lower array_ndims array_position array_positions array_prepend array_remove array_replace array_reverse
  array_sample array_shuffle array_sort array_to_json array_to_string array_to_tsvector array_upper ascii asind asinh
  atan atan2 atan2d atand atanh avg bit bit_and bit_count bit_length bit_or bit_xor bool bool_and bool_or box bpchar
  broadcast btrim cardinality casefold cbrt ceil ceiling center char char_length character_length chr cidr circle
  clock_timestamp coalesce col_description concat concat_ws convert convert_from convert_to corr cos cosd cosh cot cotd
  count covar_pop covar_samp crc32 crc32c cume_dist current_catalog current_database current_date current_query
  current_schema current_schemas current_user date date_add date_bin date_part date_subtract date_trunc datemultirange
  daterange decode degrees dense_rank diagonal diameter div encode enum_first enum_last enum_range erf erfc every exp
  extract factorial family first_value float4 float8 floor format format_type gamma gcd gen_random_uuid generate_series
  generate_subscripts get_bit get_byte get_current_ts_config getdatabaseencoding getpgusername greatest grouping
  has_column_privilege has_database_privilege has_schema_privilege has_table_privilege height host hostmask inet_merge
  inet_same_family initcap int2 int4 int4multirange int4range int8 int8multirange int8range interval is_normalized
  isclosed isempty isfinite ishorizontal isopen isparallel isperp isvertical json_agg json_agg_strict json_array
  json_array_elements json_array_elements_text json_array_length json_arrayagg json_build_array json_build_object
  json_each json_each_text json_exists json_extract_path json_extract_path_text json_object json_object_agg
  json_object_agg_strict json_object_keys json_objectagg json_populate_record json_populate_recordset json_query
  json_scalar json_serialize json_strip_nulls json_to_record json_to_recordset json_to_tsvector json_typeof json_value
  jsonb_agg jsonb_agg_strict jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array
  jsonb_build_object jsonb_contained jsonb_contains jsonb_each jsonb_each_text jsonb_exists jsonb_extract_path
  jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_agg jsonb_object_agg_strict jsonb_object_keys
  jsonb_path_exists jsonb_path_exists_tz jsonb_path_match jsonb_path_match_tz jsonb_path_query jsonb_path_query_array
  jsonb_path_query_array_tz jsonb_path_query_first jsonb_path_query_first_tz jsonb_path_query_tz jsonb_populate_record
  jsonb_populate_recordset jsonb_pretty jsonb_set jsonb_set_lax jsonb_strip_nulls jsonb_to_record jsonb_to_recordset
  jsonb_to_tsvector jsonb_typeof justify_days justify_hours justify_interval lag last_value lcm lead least left length
  lgamma like line ln localtime localtimestamp log log10 lower lower_inc lower_inf lpad lseg ltrim macaddr macaddr8
  macaddr8_set7bit make_date make_interval make_time make_timestamp make_timestamptz masklen max md5 min min_scale mod
  mode money multirange name netmask network normalize now npoints nth_value ntile nullif num_nonnulls num_nulls numeric
  numeric_div_trunc nummultirange numnode numrange obj_description octet_length oid overlaps overlay parse_ident path
  pclose percent_rank percentile_cont percentile_disc pg_backend_pid pg_client_encoding pg_collation_for pg_column_size
  pg_database_size pg_encoding_to_char pg_get_constraintdef pg_get_expr pg_get_functiondef pg_get_indexdef
  pg_get_serial_sequence pg_get_userbyid pg_get_viewdef pg_indexes_size pg_is_in_recovery pg_postmaster_start_time
  pg_relation_size pg_size_bytes pg_size_pretty pg_table_is_visible pg_table_size pg_total_relation_size pg_typeof
  phraseto_tsquery pi plainto_tsquery point polygon popen position pow power querytree quote_ident quote_literal
  quote_nullable radians radius random random_normal range_agg range_intersect_agg range_merge rank regexp_count
  regexp_instr regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table
  regexp_substr regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy repeat
  replace reverse right round row_number row_to_json rpad rtrim scale session_user set_bit set_byte set_masklen
  setweight sha224 sha256 sha384 sha512 shobj_description sign similarity sind sinh slope split_part sqrt starts_with
  statement_timestamp stddev stddev_pop stddev_samp strict_word_similarity string_agg string_to_array string_to_table
  strip strpos substr substring sum tan tand tanh text time timestamp timestamptz timetz timezone to_ascii to_bin
  to_char to_date to_hex to_json to_jsonb to_number to_oct to_regclass to_regtype to_timestamp to_tsquery to_tsvector
  transaction_timestamp translate trim_array trim_scale trunc ts_delete ts_filter ts_headline ts_lexize ts_parse ts_rank
  ts_rank_cd ts_token_type tsmultirange tsquery_phrase tsrange tstzmultirange tstzrange tsvector_to_array unaccent
  unicode_version unistr unnest upper upper_inc upper_inf uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7
  var_pop var_samp varbit varchar variance version websearch_to_tsquery width width_bucket word_similarity xid xml
  xml_is_well_formed xml_is_well_formed_content xml_is_well_formed_document xmlagg xmlcomment xmlconcat xmlelement
  xmlexists xmlforest xpath xpath_exists
`);

/** Functions of MySQL 8 and MariaDB 10 and 11 without files, locks, waiting, sequences and replication. */
export const MYSQL_FUNCTIONS = words(`
  abs acos adddate addtime aes_decrypt aes_encrypt any_value ascii asin atan atan2 avg bin bin_to_uuid bit_and bit_count
  bit_length bit_or bit_xor cast ceil ceiling char char_length character_length charset chr coalesce coercibility
  collation compress concat concat_ws connection_id conv convert convert_tz cos cot count crc32 crc32c cume_dist curdate
  current_date current_role current_time current_timestamp current_user curtime database date date_add date_format
  date_sub datediff day dayname dayofmonth dayofweek dayofyear decode decode_oracle default degrees dense_rank
  des_decrypt elt encode exp export_set extract extractvalue field find_in_set first_value floor format format_bytes
  format_pico_time found_rows from_base64 from_days from_unixtime get_format greatest group_concat grouping hex hour if
  ifnull inet6_aton inet6_ntoa inet_aton inet_ntoa insert instr is_ipv4 is_ipv4_compat is_ipv4_mapped is_ipv6 is_uuid
  isnull json_array json_array_append json_array_insert json_array_intersect json_arrayagg json_compact json_contains
  json_contains_path json_depth json_detailed json_equals json_exists json_extract json_insert json_key_value json_keys
  json_length json_loose json_merge json_merge_patch json_merge_preserve json_normalize json_object
  json_object_filter_keys json_object_to_array json_objectagg json_overlaps json_pretty json_query json_quote
  json_remove json_replace json_schema_valid json_search json_set json_storage_size json_table json_type json_unquote
  json_valid json_value kdf lag last_day last_insert_id last_value lcase lead least left length lengthb ln localtime
  localtimestamp locate log log10 log2 lower lpad ltrim make_set makedate maketime match max md5 median microsecond mid
  min minute mod month monthname natural_sort_key now nth_value ntile nullif nvl nvl2 oct octet_length ord password
  percent_rank percentile_cont percentile_disc period_add period_diff pi point position pow power quarter quote radians
  rand random_bytes rank regexp_instr regexp_like regexp_replace regexp_substr repeat replace reverse right round row
  row_count row_number rpad rtrim schema sec_to_time second session_user sformat sha sha1 sha2 sign sin soundex space
  sqrt st_area st_asbinary st_asgeojson st_astext st_aswkb st_aswkt st_boundary st_buffer st_centroid st_contains
  st_crosses st_difference st_dimension st_disjoint st_distance st_distance_sphere st_endpoint st_envelope st_equals
  st_exteriorring st_geometryn st_geometrytype st_geomfromgeojson st_geomfromtext st_geomfromwkb st_intersection
  st_intersects st_isclosed st_isempty st_issimple st_isvalid st_latitude st_length st_longitude st_makeenvelope
  st_numgeometries st_numpoints st_overlaps st_pointfromtext st_pointn st_simplify st_srid st_startpoint st_touches
  st_transform st_union st_within st_x st_y std stddev stddev_pop stddev_samp str_to_date strcmp subdate substr
  substring substring_index subtime sum sysdate system_user tan time time_format time_to_sec timediff timestamp
  timestampadd timestampdiff to_base64 to_char to_days to_seconds trim truncate ucase uncompress uncompressed_length
  unhex unix_timestamp updatexml upper user utc_date utc_time utc_timestamp uuid uuid_short uuid_to_bin value values
  var_pop var_samp variance vec_distance vec_distance_cosine vec_distance_euclidean vec_fromtext vec_totext version week
  weekday weekofyear weight_string year yearweek
`);

/** Judges names: the known ones of a dialect, and patterns of the operator (`st_*`, `reporting.*`). */
export function functionRule(known: ReadonlySet<string>, patterns: readonly string[]): (name: string) => boolean {
  const more = patterns.map((pattern) => {
    const parts = pattern.toLowerCase().split('*');
    return new RegExp(`^${parts.map((part) => part.replace(/[\\^$.+?()[\]{}|]/g, '\\$&')).join('.*')}$`);
  });
  return (name) => known.has(name) || more.some((pattern) => pattern.test(name));
}
