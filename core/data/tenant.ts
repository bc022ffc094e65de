/** The tenant of a caller; a missing one is a bug that must never widen a query. */
export function requireTenant(principal: { readonly tenantId: string }): string {
  const { tenantId } = principal;
  if (typeof tenantId !== 'string' || tenantId === '') throw new TypeError('The principal has no tenant');
  return tenantId;
}
